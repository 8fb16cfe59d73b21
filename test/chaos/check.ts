import { committedBeyondDelivery, orderedDelivery, registers } from './checkGroups.ts'
import type { HistoryEvent, OffsetEvent, PlaceEvent, SendEvent } from './events.ts'

/** What a history must obey (raft.md 5.5). */
export interface Rules {
  /** Senders that wait for each answer before the next send, each to one queue: their messages' first copies rise. */
  inOrder: (sender: string) => boolean
  /** Groups that must have got every stored message of these topics. */
  groups: ReadonlyMap<string, readonly string[]>
  /** Of these the ones whose listener gets each queue's messages one after the other. */
  orderlyGroups: ReadonlySet<string>
}

export interface Findings {
  /** Sentences; empty when all holds. */
  violations: string[]
  sent: number
  acknowledged: number
  lost: number
  stored: number
  delivered: number
  /** Stored more than once: allowed when a send was in doubt, counted. */
  duplicates: number
  /** Of these the ones of sends that no fault, failure or wait explains. */
  unexplainedDuplicates: number
}

/** How many violations of one kind are spelled out. */
const EXAMPLES_MAX = 5
/** A send answered within this was answered at the first attempt: the client gives up waiting after 700 ms at the earliest. */
const UNDISTURBED_MS = 400

export class Report {
  readonly violations: string[] = []

  add(kind: string, found: readonly string[]): void {
    for (const text of found.slice(0, EXAMPLES_MAX)) this.violations.push(`${kind}: ${text}`)
    const more = found.length - EXAMPLES_MAX
    if (more > 0) this.violations.push(`${kind}: and ${more} more`)
  }
}

export function check(events: readonly HistoryEvent[], rules: Rules): Findings {
  const sends: SendEvent[] = []
  const stored: PlaceEvent[] = []
  const delivered: PlaceEvent[] = []
  const offsets: OffsetEvent[] = []
  const terms = new Map<number, Set<string>>()
  const faultMs = new Map<number, [startMs: number, endMs: number]>()
  for (const event of events) {
    if (event.op === 'send') sends.push(event)
    else if (event.op === 'stored') stored.push(event)
    else if (event.op === 'deliver') delivered.push(event)
    else if (event.op === 'fault') {
      if (event.kind === 'start') faultMs.set(event.number, [event.at, Number.POSITIVE_INFINITY])
      else if (event.kind === 'end') faultMs.get(event.number)![1] = event.at
    } else if (event.op === 'leader') {
      terms.set(event.term, (terms.get(event.term) ?? new Set()).add(event.client))
    } else offsets.push(event)
  }
  const places = valuesByPlace(stored)
  const report = new Report()
  const punctual = stored.filter(event => !isLate(event))
  const gone = notWhereAcknowledged(sends, valuesByPlace(punctual))
  report.add('lost or changed', gone)
  report.add('invented', invented(sends, stored))
  report.add('hole', holes(stored))
  report.add('out of order', outOfOrder(stored, rules))
  report.add('delivered something else', deliveredOtherwise(delivered, places))
  report.add('not delivered', notDelivered(punctual, delivered, rules))
  report.add('delivered out of order', orderedDelivery(delivered, rules.orderlyGroups))
  report.add('committed offset', registers(offsets))
  report.add('committed before it was delivered', committedBeyondDelivery(events))
  report.add('two leaders', twoLeaders(terms))
  const { duplicates, unexplained } = repeated(sends, stored, [...faultMs.values()])
  report.add('stored twice without a reason', unexplained)
  return {
    violations: report.violations,
    sent: sends.filter(event => event.kind === 'invoke').length,
    acknowledged: sends.filter(event => event.kind === 'ok').length,
    lost: gone.length,
    stored: stored.length,
    delivered: delivered.length,
    duplicates,
    unexplainedDuplicates: unexplained.length
  }
}

export function placeOf(event: { topic: string; queue?: number; offset?: number }): string {
  return `${event.topic}/${event.queue}@${event.offset}`
}

function isLate(event: PlaceEvent): boolean {
  return event.op === 'stored' && event.late === true
}

function valuesByPlace(stored: readonly PlaceEvent[]): Map<string, string> {
  return new Map(stored.map(event => [placeOf(event), event.value]))
}

function notWhereAcknowledged(
  sends: readonly SendEvent[],
  places: ReadonlyMap<string, string>
): string[] {
  const found: string[] = []
  for (const send of sends) {
    if (send.kind !== 'ok') continue
    const place = placeOf(send)
    const value = places.get(place)
    if (value !== send.value) {
      found.push(`${send.value} was acknowledged at ${place}, where ${value ?? 'nothing'} lies`)
    }
  }
  return found
}

function invented(sends: readonly SendEvent[], stored: readonly PlaceEvent[]): string[] {
  const asked = new Set(sends.map(send => `${send.topic} ${send.value}`))
  return stored
    .filter(event => !asked.has(`${event.topic} ${event.value}`))
    .map(event => `${event.value} at ${placeOf(event)} was never sent`)
}

function holes(stored: readonly PlaceEvent[]): string[] {
  const found: string[] = []
  for (const [queue, events] of byQueue(stored)) {
    let next = 0
    for (const { offset } of events) {
      if (offset !== next) found.push(`${queue}: ${offset} follows ${next - 1}`)
      next = offset + 1
    }
  }
  return found
}

/** A sender that waits for each answer: the first copies of its messages rise; a repeated send may copy one again behind. */
function outOfOrder(stored: readonly PlaceEvent[], rules: Rules): string[] {
  const found: string[] = []
  for (const [queue, events] of byQueue(stored)) {
    const highest = new Map<string, number>()
    const known = new Set<string>()
    for (const { offset, value } of events) {
      if (known.has(value)) continue
      known.add(value)
      const [sender = '', sequence = ''] = value.split(':')
      if (!rules.inOrder(sender)) continue
      const before = highest.get(sender) ?? -1
      if (Number(sequence) < before) {
        found.push(`${value} at ${queue}@${offset} stands behind ${sender}:${before}`)
      } else highest.set(sender, Number(sequence))
    }
  }
  return found
}

function deliveredOtherwise(
  delivered: readonly PlaceEvent[],
  places: ReadonlyMap<string, string>
): string[] {
  const found: string[] = []
  for (const event of delivered) {
    const value = places.get(placeOf(event))
    if (value === event.value) continue
    found.push(
      `${event.client} got ${event.value} at ${placeOf(event)}, where ${value ?? 'nothing'} lies`
    )
  }
  return found
}

function notDelivered(
  stored: readonly PlaceEvent[],
  delivered: readonly PlaceEvent[],
  rules: Rules
): string[] {
  const got = new Set(delivered.map(event => `${event.client} ${placeOf(event)}`))
  const found: string[] = []
  for (const [group, topics] of rules.groups) {
    for (const event of stored) {
      if (!topics.includes(event.topic) || got.has(`${group} ${placeOf(event)}`)) continue
      found.push(`${event.value} at ${placeOf(event)} to ${group}`)
    }
  }
  return found
}

function twoLeaders(terms: ReadonlyMap<number, ReadonlySet<string>>): string[] {
  return [...terms]
    .filter(([, nodes]) => nodes.size > 1)
    .map(([term, nodes]) => `${[...nodes].join(' and ')} in term ${term}`)
}

/** A second copy has a reason when the send failed once, took long enough for the client to try again within it, or met a fault. */
function repeated(
  sends: readonly SendEvent[],
  stored: readonly PlaceEvent[],
  faultsMs: readonly (readonly [startMs: number, endMs: number])[]
): { duplicates: number; unexplained: string[] } {
  const copies = new Map<string, number>()
  for (const { topic, value } of stored) {
    const name = `${topic} ${value}`
    copies.set(name, (copies.get(name) ?? 0) + 1)
  }
  const began = new Map<string, number>()
  const disturbed = new Set<string>()
  for (const { at, kind, topic, value } of sends) {
    const name = `${topic} ${value}`
    if ((copies.get(name) ?? 0) < 2) continue
    const beganMs = began.get(name) ?? at
    if (kind === 'invoke') began.set(name, at)
    else if (kind === 'unknown' || at - beganMs > UNDISTURBED_MS) disturbed.add(name)
    else if (faultsMs.some(([startMs, endMs]) => beganMs <= endMs && at >= startMs)) {
      disturbed.add(name)
    }
  }
  const unexplained: string[] = []
  let duplicates = 0
  for (const [name, count] of copies) {
    if (count < 2) continue
    duplicates += count - 1
    if (began.has(name) && !disturbed.has(name)) unexplained.push(`${name} ${count} times`)
  }
  return { duplicates, unexplained }
}

function byQueue(stored: readonly PlaceEvent[]): Map<string, PlaceEvent[]> {
  const queues = new Map<string, PlaceEvent[]>()
  for (const event of stored) {
    const name = `${event.topic}/${event.queue}`
    const events = queues.get(name)
    if (events === undefined) queues.set(name, [event])
    else events.push(event)
  }
  return queues
}
