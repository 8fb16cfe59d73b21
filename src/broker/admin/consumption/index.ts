import type { Handler } from '../../dispatch/handler.ts'
import { brokerConsumeStats } from './brokerConsumeStats.ts'
import { cloneOffset } from './cloneOffset.ts'
import { consumeStats } from './consumeStats.ts'
import { consumeTimeSpan } from './consumeTimeSpan.ts'
import { correctionOffset } from './correctionOffset.ts'
import { allConsumerOffsets, allDelayOffsets } from './offsetTables.ts'
import { resetOffset } from './resetOffset.ts'
import { subscriptionByConsumer } from './subscriptionByConsumer.ts'
import { topicsByConsumer } from './topicsByConsumer.ts'

export const consumptionAdminHandlers: readonly Handler[] = [
  consumeStats,
  brokerConsumeStats,
  resetOffset,
  cloneOffset,
  consumeTimeSpan,
  correctionOffset,
  topicsByConsumer,
  subscriptionByConsumer,
  allConsumerOffsets,
  allDelayOffsets
]
