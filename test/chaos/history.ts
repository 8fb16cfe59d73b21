/** What clients saw of one topic while the cluster was disturbed, and what must hold of it. */

/** A send that was answered with success. `lane` sends one message after the other to `queueId`. */
export interface Acknowledged {
  lane: number
  sequence: number
  queueId: number
  queueOffset: number
  /** Monotonic clock, ms. */
  atMs: number
}

/** A message as a consumer got it, or as it was read from the queue at the end. */
export interface Seen {
  queueId: number
  queueOffset: number
  /** `lane:sequence`, the message's body. */
  body: string
}

/** A group's committed offset as a broker told it, in the order of asking. */
export interface CommittedSample {
  queueId: number
  offset: number
}

export interface History {
  acknowledged: readonly Acknowledged[]
  /** Everything that lies in the queues at the end, each from its first offset on. */
  stored: readonly Seen[]
  delivered: readonly Seen[]
  committed: readonly CommittedSample[]
}

export interface Findings {
  /** Sentences; empty when all holds. */
  violations: string[]
  acknowledged: number
  stored: number
  delivered: number
  /** Stored more than once because a send was repeated: allowed, counted. */
  duplicates: number
}

/** How many violations of one kind are spelled out. */
const EXAMPLES_MAX = 5

export function check(history: History): Findings {
  const violations: string[] = []
  const report = (kind: string, found: string[]): void => {
    for (const text of found.slice(0, EXAMPLES_MAX)) violations.push(`${kind}: ${text}`)
    if (found.length > EXAMPLES_MAX) {
      violations.push(`${kind}: and ${found.length - EXAMPLES_MAX} more`)
    }
  }
  const places = new Map<string, string>()
  for (const { queueId, queueOffset, body } of history.stored) {
    places.set(`${queueId}@${queueOffset}`, body)
  }
  report('lost or changed', notWhereAcknowledged(history.acknowledged, places))
  report('hole', holes(history.stored))
  report('out of order', outOfOrder(history.stored))
  report('delivered something else', deliveredOtherwise(history.delivered, places))
  report('not delivered', notDelivered(history))
  report('committed offset fell', fallen(history.committed))
  return {
    violations,
    acknowledged: history.acknowledged.length,
    stored: history.stored.length,
    delivered: history.delivered.length,
    duplicates: history.stored.length - new Set(history.stored.map(seen => seen.body)).size
  }
}

function notWhereAcknowledged(
  acknowledged: readonly Acknowledged[],
  places: ReadonlyMap<string, string>
): string[] {
  const found: string[] = []
  for (const { lane, sequence, queueId, queueOffset } of acknowledged) {
    const body = places.get(`${queueId}@${queueOffset}`)
    if (body !== `${lane}:${sequence}`) {
      found.push(
        `${lane}:${sequence} was acknowledged at ${queueId}@${queueOffset}, where ${body ?? 'nothing'} lies`
      )
    }
  }
  return found
}

function holes(stored: readonly Seen[]): string[] {
  const next = new Map<number, number>()
  const found: string[] = []
  for (const { queueId, queueOffset } of stored) {
    const expected = next.get(queueId) ?? 0
    if (queueOffset !== expected)
      found.push(`queue ${queueId}: ${queueOffset} follows ${expected - 1}`)
    next.set(queueId, queueOffset + 1)
  }
  return found
}

/** A lane waits for each answer, so the first copies of its messages rise; a repeated send may copy one again behind. */
function outOfOrder(stored: readonly Seen[]): string[] {
  const highest = new Map<string, number>()
  const known = new Set<string>()
  const found: string[] = []
  for (const { queueId, queueOffset, body } of stored) {
    if (known.has(body)) continue
    known.add(body)
    const [lane = '', sequence = ''] = body.split(':')
    const before = highest.get(lane) ?? -1
    if (Number(sequence) < before)
      found.push(`${body} at ${queueId}@${queueOffset} stands behind ${lane}:${before}`)
    else highest.set(lane, Number(sequence))
  }
  return found
}

function deliveredOtherwise(
  delivered: readonly Seen[],
  places: ReadonlyMap<string, string>
): string[] {
  const found: string[] = []
  for (const { queueId, queueOffset, body } of delivered) {
    const stored = places.get(`${queueId}@${queueOffset}`)
    if (stored !== body)
      found.push(`${body} at ${queueId}@${queueOffset}, where ${stored ?? 'nothing'} lies`)
  }
  return found
}

function notDelivered({ stored, delivered }: History): string[] {
  const got = new Set(delivered.map(seen => seen.body))
  return stored
    .filter(seen => !got.has(seen.body))
    .map(seen => `${seen.body} at ${seen.queueId}@${seen.queueOffset}`)
}

function fallen(committed: readonly CommittedSample[]): string[] {
  const highest = new Map<number, number>()
  const found: string[] = []
  for (const { queueId, offset } of committed) {
    const before = highest.get(queueId) ?? -1
    if (offset < before) found.push(`queue ${queueId}: from ${before} to ${offset}`)
    highest.set(queueId, Math.max(before, offset))
  }
  return found
}

/** The longest time in ms between two acknowledgements of which the second came after `fromMs`; 0 when none did. */
export function longestGap(acknowledged: readonly Acknowledged[], fromMs: number): number {
  const times = acknowledged.map(({ atMs }) => atMs).sort((a, b) => a - b)
  let longest = 0
  for (const [at, time] of times.entries()) {
    if (at > 0 && time > fromMs) longest = Math.max(longest, time - times[at - 1]!)
  }
  return longest
}
