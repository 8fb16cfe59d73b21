import { createRealPlatform } from '../src/platform/index.ts'
import type { Case } from './cases.ts'
import { Crowd } from './crowd.ts'
import { medianOf } from './figures.ts'
import type { LedgerMq } from './ledgermq.ts'
import { LOADS, type Load, type Options, type RowName, type Timing } from './options.ts'
import { takeTurns } from './rounds.ts'
import type { Report } from './window.ts'

/** One side of a comparison. */
interface Side {
  name: string
  measure: (timing: Timing) => Promise<Report>
}

const SENDS: Load = { ...LOADS[0]!, topic: 'BenchFlat', queues: 1, rotate: true }
const QUEUES_PER_TOPIC = 100
const CROWD_QUEUES = 4
const CLIENTS_PER_GROUP = 10

/** Row `queues`: sends to one queue of an empty cluster, and to many queues of another one. */
export async function manyQueues(
  empty: LedgerMq,
  full: LedgerMq,
  options: Options
): Promise<Case[]> {
  const { queues } = options.sizes
  const perTopic = Math.min(QUEUES_PER_TOPIC, queues)
  const topics = Math.ceil(queues / perTopic)
  const load = { ...SENDS, topic: 'BenchQueues', queues: perTopic, topics }
  await empty.createTopics([SENDS.topic], 1)
  await full.createTopics(namesOf(load), perTopic)
  // Every queue has a message, and its file, before anything is measured.
  await full.fill(load, topics * perTopic)
  await full.idle()
  return compare('queues', [empty, full], options, [
    { name: '1 queue', measure: timing => empty.measure(SENDS, timing) },
    { name: `${topics * perTopic} queues`, measure: timing => full.measure(load, timing) }
  ])
}

function namesOf({ topic, topics = 1 }: Load): string[] {
  return topics === 1 ? [topic] : Array.from({ length: topics }, (_, i) => `${topic}-${i}`)
}

/** Row `clients`: the same cluster with nobody else there, beside clients that wait, and with sends that come by many connections. */
export async function manyClients(ours: LedgerMq, options: Options): Promise<Case[]> {
  const { clients } = options.sizes
  const load: Load = { ...SENDS, topic: 'BenchClients', queues: CROWD_QUEUES }
  const spread = { ...load, connections: clients, inflight: 1 }
  await ours.createTopics([load.topic, 'BenchCrowd'], CROWD_QUEUES)
  const platform = createRealPlatform()
  const beside = async (timing: Timing): Promise<Report> => {
    const { address } = await ours.target()
    const crowd = new Crowd(platform, {
      address,
      clients,
      producerGroup: 'bench_crowd',
      groups: Math.ceil(clients / CLIENTS_PER_GROUP),
      groupName: i => `bench_crowd_${i}`,
      topics: 1,
      topicName: () => 'BenchCrowd',
      queues: CROWD_QUEUES
    })
    try {
      await crowd.connect()
      return await ours.measure(load, timing)
    } finally {
      await crowd.close()
    }
  }
  return compare('clients', [ours], options, [
    { name: 'nobody else', measure: timing => ours.measure(load, timing) },
    { name: `beside ${clients} clients`, measure: beside },
    { name: `by ${clients} connections`, measure: timing => ours.measure(spread, timing) }
  ])
}

/** Row `backlog`: sends to a topic without a message, and to one with many, of an empty cluster and a full one. */
export async function longBacklog(
  empty: LedgerMq,
  full: LedgerMq,
  options: Options
): Promise<Case[]> {
  const load: Load = { ...SENDS, topic: 'BenchBacklog', queues: CROWD_QUEUES }
  const small: Load = { ...load, sizeBytes: 64, inflight: 8, batch: 100 }
  for (const cluster of [empty, full]) await cluster.createTopics([load.topic], CROWD_QUEUES)
  await full.fill(small, options.sizes.backlog)
  await full.idle()
  return compare('backlog', [empty, full], options, [
    { name: 'no backlog', measure: timing => empty.measure(load, timing) },
    {
      name: `${options.sizes.backlog} messages of backlog`,
      measure: timing => full.measure(load, timing)
    }
  ])
}

/**
 * Rates in a closed loop, then latencies in an open loop at half of what the first side reached: the same rate for all, so that
 * their latencies can be compared.
 */
async function compare(
  row: RowName,
  clusters: readonly LedgerMq[],
  { rounds, seconds, warmupSeconds }: Options,
  sides: readonly Side[]
): Promise<Case[]> {
  const system = clusters[0]!.name
  const cases = async (rate: number | null): Promise<Case[]> => {
    const timing = { seconds, warmupSeconds, rate }
    const measures = sides.map(
      ({ measure }) =>
        () =>
          measure(timing)
    )
    const reports = await takeTurns(rounds, clusters, measures)
    const named = sides.map(
      ({ name }, i): Case => ({
        row,
        system,
        name: rate === null ? name : `${name}, at ${rate}/s`,
        reports: reports[i]!,
        base: null
      })
    )
    return named.map(each => ({ ...each, base: each === named[0] ? null : named[0]! }))
  }
  const closed = await cases(null)
  const half = medianOf(closed[0]!.reports, report => report.messagesPerSecond) / 2
  return [...closed, ...(await cases(Math.max(1, Math.round(half))))]
}
