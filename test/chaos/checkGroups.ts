import type { HistoryEvent, OffsetEvent, PlaceEvent } from './events.ts'

/** An orderly group sees each queue's offsets rise by one; what it saw before it may see again (raft.md 5.5). */
export function orderedDelivery(
  delivered: readonly PlaceEvent[],
  orderlyGroups: ReadonlySet<string>
): string[] {
  const next = new Map<string, number>()
  const found: string[] = []
  for (const { client, topic, queue, offset } of delivered) {
    if (!orderlyGroups.has(client)) continue
    const name = `${client} ${topic}/${queue}`
    const expected = next.get(name) ?? 0
    if (offset > expected) found.push(`${name}: ${offset} came when ${expected} was due`)
    if (offset >= expected) next.set(name, offset + 1)
  }
  return found
}

interface Register {
  /** Highest offset whose commit was answered, and highest that was asked for. */
  answered: number
  asked: number
  /** Highest offset that a read or a sample told. */
  seen: number
  /** What was answered or seen when the read under way began. */
  atLeast: number
}

/**
 * Each (group, queue) is a register by itself, written with rising offsets by one client at a time: a read tells at least what was
 * answered before it began and at most what was asked for. Samples, whose writers are not known, must not fall.
 */
export function registers(events: readonly OffsetEvent[]): string[] {
  const known = new Map<string, Register>()
  const found: string[] = []
  for (const event of events) {
    const name = `${event.group} ${event.topic}/${event.queue}`
    let register = known.get(name)
    if (register === undefined) {
      register = { answered: 0, asked: 0, seen: 0, atLeast: 0 }
      known.set(name, register)
    }
    const offset = event.offset ?? 0
    switch (event.op) {
      case 'commit':
        if (event.kind === 'invoke') register.asked = Math.max(register.asked, offset)
        else if (event.kind === 'ok') register.answered = Math.max(register.answered, offset)
        break
      case 'read':
        if (event.kind === 'invoke') register.atLeast = Math.max(register.answered, register.seen)
        else if (event.kind === 'ok') {
          if (offset < register.atLeast)
            found.push(`${name}: ${offset} was read, ${register.atLeast} was there before`)
          if (offset > register.asked)
            found.push(`${name}: ${offset} was read, nobody committed more than ${register.asked}`)
          register.seen = Math.max(register.seen, offset)
        }
        break
      case 'sample':
        if (offset < register.seen) found.push(`${name}: fell from ${register.seen} to ${offset}`)
        register.seen = Math.max(register.seen, offset)
        break
    }
  }
  return found
}

/** When a broker tells an offset of a push consumer's group, everything below was delivered before: else it would be skipped. */
export function committedBeyondDelivery(events: readonly HistoryEvent[]): string[] {
  const missing = new Map<string, { next: number; ahead: Set<number> }>()
  const found: string[] = []
  for (const event of events) {
    if (event.op === 'deliver') {
      const name = `${event.client} ${event.topic}/${event.queue}`
      let state = missing.get(name)
      if (state === undefined) {
        state = { next: 0, ahead: new Set() }
        missing.set(name, state)
      }
      if (event.offset >= state.next) state.ahead.add(event.offset)
      while (state.ahead.delete(state.next)) state.next += 1
    } else if (event.op === 'sample') {
      const name = `${event.group} ${event.topic}/${event.queue}`
      const delivered = missing.get(name)?.next ?? 0
      if ((event.offset ?? 0) > delivered)
        found.push(`${name}: ${event.offset}, delivered without a hole up to ${delivered}`)
    }
  }
  return found
}
