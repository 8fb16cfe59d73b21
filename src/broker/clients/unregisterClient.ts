import { optionalText, RequestCode, ResponseCode, response } from '../../protocol/index.ts'
import type { Handler } from '../dispatch/handler.ts'

/** UNREGISTER_CLIENT (35): always answered with 0. Facts: remoting.md 2.6; what the client committed is written first (R-A2). */
export const unregisterClient: Handler = {
  code: RequestCode.UNREGISTER_CLIENT,
  needsLeader: false,
  async handle(request, caller, broker) {
    const producerGroup = optionalText(request.extFields, 'producerGroup')
    const consumerGroup = optionalText(request.extFields, 'consumerGroup')
    if (producerGroup !== null) broker.producers.unregister(producerGroup, caller.connection)
    if (consumerGroup !== null) {
      broker.consumers.unregister(consumerGroup, caller.connection)
      if (broker.isLeader()) await broker.store.flushOffsets()
    }
    return response(ResponseCode.SUCCESS)
  }
}
