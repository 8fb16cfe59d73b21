import type { Handler } from '../../dispatch/handler.ts'
import { deleteTopic } from './deleteTopic.ts'
import { systemTopics } from './systemTopics.ts'
import { topicConfig } from './topicConfig.ts'
import { topicGroups } from './topicGroups.ts'
import { topicStats } from './topicStats.ts'
import { topicTable } from './topicTable.ts'
import { updateTopic } from './updateTopic.ts'
import { updateTopicList } from './updateTopicList.ts'

export const topicAdminHandlers: readonly Handler[] = [
  updateTopic,
  updateTopicList,
  deleteTopic,
  topicTable,
  topicConfig,
  systemTopics,
  topicStats,
  topicGroups
]
