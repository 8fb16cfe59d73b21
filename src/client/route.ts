import { TopicPerm } from '../protocol/index.ts'
import { compareText, type MessageQueue } from './queue.ts'

/** The id under which a broker group's leader is published. */
export const LEADER_ID = 0

/** How many queues of a topic a broker group has, and what may be done with them. */
export interface QueueData {
  readonly brokerName: string
  readonly readQueueNums: number
  readonly writeQueueNums: number
  /** Bits: 2 writable, 4 readable. */
  readonly perm: number
  readonly topicSysFlag: number
}

/** One broker group, and where its members are. */
export interface BrokerData {
  readonly cluster: string
  readonly brokerName: string
  /** Broker id to `host:port`; id 0 is the leader and missing while there is none. */
  readonly addresses: ReadonlyMap<number, string>
}

/** Where a topic lives, as a name server says it (remoting.md 3.1). */
export interface TopicRoute {
  readonly topic: string
  /** `brokerName:queues;…` of an ordered topic, null for all others. */
  readonly orderConf: string | null
  readonly queues: readonly QueueData[]
  readonly brokers: readonly BrokerData[]
}

/** Queues to send to: writable ones of broker groups that have a leader (remoting.md 3.1). */
export function publishQueues(route: TopicRoute): MessageQueue[] {
  const { topic } = route
  const led = new Set(
    route.brokers.filter(b => b.addresses.has(LEADER_ID)).map(broker => broker.brokerName)
  )
  if (route.orderConf !== null && route.orderConf !== '') {
    return route.orderConf
      .split(';')
      .map(part => part.split(':'))
      .filter(([brokerName]) => brokerName !== undefined && led.has(brokerName))
      .flatMap(([brokerName, count]) => numbered(topic, brokerName!, Number(count)))
  }
  return [...route.queues]
    .sort((a, b) => compareText(a.brokerName, b.brokerName))
    .filter(data => (data.perm & TopicPerm.write) !== 0 && led.has(data.brokerName))
    .flatMap(data => numbered(topic, data.brokerName, data.writeQueueNums))
}

/** Queues to consume: readable ones, also of groups that have no leader just now. */
export function subscribeQueues(route: TopicRoute): MessageQueue[] {
  return route.queues
    .filter(data => (data.perm & TopicPerm.read) !== 0)
    .flatMap(data => numbered(route.topic, data.brokerName, data.readQueueNums))
}

/** `host:port` of the group's leader; null while it has none. */
export function leaderAddress(broker: BrokerData | undefined): string | null {
  return broker?.addresses.get(LEADER_ID) ?? null
}

/** The leader, or while there is none the replica with the smallest id. */
export function anyAddress(broker: BrokerData | undefined): string | null {
  if (broker === undefined || broker.addresses.size === 0) return null
  return broker.addresses.get(Math.min(...broker.addresses.keys())) ?? null
}

/** True when both say the same of every broker's addresses and of the queues. */
export function sameRoute(a: TopicRoute, b: TopicRoute): boolean {
  return a === b || fingerprint(a) === fingerprint(b)
}

function fingerprint(route: TopicRoute): string {
  const brokers = route.brokers
    .map(
      b =>
        `${b.brokerName}=${[...b.addresses]
          .map(([id, at]) => `${id}@${at}`)
          .sort(compareText)
          .join()}`
    )
    .sort(compareText)
  const queues = route.queues
    .map(q => `${q.brokerName}/${q.readQueueNums}/${q.writeQueueNums}/${q.perm}`)
    .sort(compareText)
  return `${brokers.join(';')}|${queues.join(';')}|${route.orderConf ?? ''}`
}

function numbered(topic: string, brokerName: string, count: number): MessageQueue[] {
  const queues: MessageQueue[] = []
  for (let queueId = 0; queueId < count; queueId++) queues.push({ topic, brokerName, queueId })
  return queues
}
