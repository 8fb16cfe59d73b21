import type { Handler } from '../../dispatch/handler.ts'
import { allProducers } from './allProducers.ts'
import { consumeDirectly } from './consumeDirectly.ts'
import { consumerConnections } from './consumerConnections.ts'
import { consumerStatus } from './consumerStatus.ts'
import { producerConnections } from './producerConnections.ts'
import { runningInfo } from './runningInfo.ts'

export const clientAdminHandlers: readonly Handler[] = [
  consumerConnections,
  producerConnections,
  allProducers,
  runningInfo,
  consumeDirectly,
  consumerStatus
]
