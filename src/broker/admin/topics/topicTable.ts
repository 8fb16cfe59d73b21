import {
  RequestCode,
  type TopicConfig,
  TopicConfigSerializeWrapper
} from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { success, systemError } from '../refusals.ts'
import { topicConfigOf } from './settings.ts'

/** GET_ALL_TOPIC_CONFIG (21): the replicated table, from every member. */
export const topicTable: Handler = {
  code: RequestCode.GET_ALL_TOPIC_CONFIG,
  needsLeader: false,
  handle(_request, _caller, broker) {
    const { topics, topicsVersion } = broker.store.tables
    if (topics.size === 0) return systemError('No topic in this broker')
    const topicConfigTable = new Map<string, TopicConfig>()
    for (const [name, settings] of topics) topicConfigTable.set(name, topicConfigOf(settings))
    const dataVersion = { ...topicsVersion, stateVersion: 0 }
    return success(
      TopicConfigSerializeWrapper.encode({
        dataVersion,
        mappingDataVersion: { counter: 0, stateVersion: 0, timestamp: broker.startedMs },
        topicConfigTable
      })
    )
  }
}
