import { check, type Findings, type Seen } from '../chaos/history.ts'
import { checkQueue, checkRegister, type Operation, type QueueCall } from './linear.ts'
import type { TimedAcknowledged, Workload } from './workload.ts'

/** What clients saw, judged at the end (raft.md 5.5). All are functions of histories; each returns sentences. */

export interface Losses {
  /** Acknowledgements of these times may be gone: ASYNC_FLUSH and a power loss of all. */
  readonly lossesMs: readonly { readonly fromMs: number; readonly toMs: number }[]
  /** A consumer's one-way commit may have arrived behind a later one. */
  readonly mayOvertake: boolean
}

/** An answer that was on its way at the power loss arrives a little later. */
const ANSWER_MS = 5_000

function mayBeLost({ callMs, returnMs }: TimedAcknowledged, { lossesMs }: Losses): boolean {
  return lossesMs.some(({ fromMs, toMs }) => returnMs >= fromMs && callMs <= toMs + ANSWER_MS)
}

/** The log check: nothing lost, changed, out of order or with holes; everything delivered. */
export function checkMessages(
  workload: Workload,
  stored: readonly Seen[],
  /** What of it retention has taken: it need not be delivered. */
  trimmed: readonly Seen[],
  losses: Losses
): Findings {
  const { acknowledged, delivered, committed } = workload
  if (losses.lossesMs.length === 0) {
    const samples = losses.mayOvertake ? [] : committed
    return check({
      acknowledged,
      stored,
      delivered: [...delivered, ...trimmed],
      committed: samples
    })
  }
  // What was delivered and then lost is not there any more; offsets may have been given to others.
  const kept = acknowledged.filter(one => !mayBeLost(one, losses))
  return check({ acknowledged: kept, stored, delivered: stored, committed: [] })
}

/** Sends and questions for a queue's end, in one order that agrees with the clock. */
export function checkQueues(
  workload: Workload,
  stored: readonly Seen[],
  { lossesMs }: Losses
): string[] {
  if (lossesMs.length > 0) return []
  const answers = new Map(
    workload.acknowledged.map(one => [`${one.queueId}@${one.queueOffset}`, one] as const)
  )
  const queues = new Map<number, Operation<QueueCall>[]>()
  for (const [queueId, ends] of workload.ends) queues.set(queueId, [...ends])
  for (const { queueId, queueOffset: offset, body } of stored) {
    const answer = answers.get(`${queueId}@${offset}`)
    // A repeated send leaves copies of which nobody was told.
    const callMs = answer?.callMs ?? workload.triedMs.get(body) ?? 0
    const operations = queues.get(queueId) ?? []
    queues.set(queueId, operations)
    operations.push({ callMs, returnMs: answer?.returnMs ?? null, call: { kind: 'send', offset } })
  }
  const found: string[] = []
  for (const [queueId, operations] of queues) {
    const contradiction = checkQueue(operations)
    if (contradiction !== null) {
      found.push(`queue ${queueId} is not linearizable: ${contradiction}`)
    }
  }
  return found
}

export function checkRegisters({ registers }: Workload, { lossesMs }: Losses): string[] {
  if (lossesMs.length > 0) return []
  const found: string[] = []
  for (const [queueId, operations] of registers) {
    if (checkRegister(operations) !== 'not linearizable') continue
    found.push(
      `the stored offset of queue ${queueId} is not linearizable: ${JSON.stringify(operations.slice(-20))}`
    )
  }
  return found
}

/** Committed ones are all there, each as often as it was stored at most, and no other is (raft.md 5.5, exactly once inside). */
export function checkTransactions(
  { transactions }: Workload,
  visible: readonly string[],
  /** How often each was stored in doubt: a repeated send leaves more than one. */
  halves: ReadonlyMap<string, number>,
  { lossesMs }: Losses
): string[] {
  const counts = new Map<string, number>()
  for (const body of visible) counts.set(body, (counts.get(body) ?? 0) + 1)
  const found: string[] = []
  for (const [body, count] of counts) {
    const transaction = transactions.get(body)
    if (transaction === undefined) found.push(`${body} was sent by nobody and is delivered`)
    else if (transaction.verdict !== 'commit')
      found.push(`${body} was rolled back and is delivered`)
    else if (count > (halves.get(body) ?? 0)) {
      found.push(
        `${body} is delivered ${count} times, stored in doubt ${halves.get(body) ?? 0} times`
      )
    }
  }
  if (lossesMs.length > 0) return found
  for (const body of missingTransactions({ transactions }, counts)) {
    found.push(`${body} was committed and is not delivered`)
  }
  return found
}

export function missingTransactions(
  { transactions }: Pick<Workload, 'transactions'>,
  visible: { has(body: string): boolean }
): string[] {
  const missing: string[] = []
  for (const [body, { verdict, acknowledged }] of transactions) {
    if (acknowledged && verdict === 'commit' && !visible.has(body)) missing.push(body)
  }
  return missing
}
