import type { Handler } from '../dispatch/index.ts'
import { clientAdminHandlers } from './clients/index.ts'
import { consumptionAdminHandlers } from './consumption/index.ts'
import { groupAdminHandlers } from './groups/index.ts'
import { messageAdminHandlers } from './messages/index.ts'
import { raftAdminHandlers } from './raft.ts'
import { settingsAdminHandlers } from './settings/index.ts'
import { statsAdminHandlers } from './stats/index.ts'
import { storeAdminHandlers } from './store/index.ts'
import { topicAdminHandlers } from './topics/index.ts'

/** Topics, groups, statistics, queries and what is relayed to clients. */
export const adminHandlers: readonly Handler[] = [
  ...topicAdminHandlers,
  ...groupAdminHandlers,
  ...messageAdminHandlers,
  ...consumptionAdminHandlers,
  ...clientAdminHandlers,
  ...settingsAdminHandlers,
  ...statsAdminHandlers,
  ...storeAdminHandlers,
  ...raftAdminHandlers
]
