import type { TopicRoute } from '../client/index.ts'

/**
 * A route as RocketMQ's tools show it: JSON indented by tabs, except for the broker ids, which are bare numbers and
 * stand in one line.
 */
export function routeText(route: TopicRoute): string {
  const brokers = route.brokers.map(broker => {
    const pairs = [...broker.addresses].map(([id, address]) => `${id}:${JSON.stringify(address)}`)
    return object(3, [
      ['brokerAddrs', pairs.length === 0 ? '{}' : `{${pairs.join(',')}\n${tabs(3)}}`],
      ['brokerName', JSON.stringify(broker.brokerName)],
      ['cluster', JSON.stringify(broker.cluster)]
    ])
  })
  const queues = route.queues.map(data =>
    object(3, [
      ['brokerName', JSON.stringify(data.brokerName)],
      ['perm', String(data.perm)],
      ['readQueueNums', String(data.readQueueNums)],
      ['topicSysFlag', String(data.topicSysFlag)],
      ['writeQueueNums', String(data.writeQueueNums)]
    ])
  )
  const fields: [string, string][] = [
    ['brokerDatas', list(brokers)],
    ['filterServerTable', '{}']
  ]
  if (route.orderConf !== null) fields.push(['orderTopicConf', JSON.stringify(route.orderConf)])
  fields.push(['queueDatas', list(queues)])
  return object(1, fields)
}

/** `depth` is that of the fields. */
function object(depth: number, fields: readonly (readonly [string, string])[]): string {
  const lines = fields.map(([name, text]) => `${tabs(depth)}"${name}":${text}`)
  return `{\n${lines.join(',\n')}\n${tabs(depth - 1)}}`
}

function list(items: readonly string[]): string {
  if (items.length === 0) return '[]'
  return `[\n${items.map(item => tabs(2) + item).join(',\n')}\n${tabs(1)}]`
}

function tabs(count: number): string {
  return '\t'.repeat(count)
}
