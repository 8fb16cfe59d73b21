import type { Handler } from '../dispatch/index.ts'
import { groupAdminHandlers } from './groups/index.ts'
import { topicAdminHandlers } from './topics/index.ts'

/** Topics, groups, statistics, queries and what is relayed to clients. */
export const adminHandlers: readonly Handler[] = [...topicAdminHandlers, ...groupAdminHandlers]
