import { type BrokerData as BrokerDataBody, TopicRouteData } from '../protocol/index.ts'
import { malformedAnswer } from './errors.ts'
import type { BrokerData, TopicRoute } from './route.ts'

/** A body's form; the protocol's beans are such. */
export interface Decoder<T> {
  decode(body: Buffer | null): T
}

/** Reads a server's JSON body; `source` is its address, for the error. */
export function readBody<T>(form: Decoder<T>, body: Buffer | null, source: string): T {
  try {
    return form.decode(body)
  } catch (error) {
    throw malformedAnswer(source, error)
  }
}

/** GET_ROUTEINFO_BY_TOPIC (105): remoting.md 3.1. */
export function readTopicRoute(topic: string, body: Buffer | null, source: string): TopicRoute {
  const route = readBody(TopicRouteData, body, source)
  return {
    topic,
    orderConf: route.orderTopicConf ?? null,
    queues: route.queueDatas,
    brokers: route.brokerDatas.map(brokerDataOf)
  }
}

export function brokerDataOf(data: BrokerDataBody): BrokerData {
  return { cluster: data.cluster, brokerName: data.brokerName, addresses: data.brokerAddrs }
}
