import type { HistoryEvent } from './events.ts'

/** Acknowledgements are counted in pieces of this length, ms. */
export const BUCKET_MS = 250

/** One fault and what it cost. */
export interface Outage {
  fault: string
  number: number
  nodes: readonly string[]
  startMs: number
  healedMs: number
  endMs: number
  /** Longest time without an acknowledged send between the fault's start and its end, ms. */
  gapMs: number
  /** How often a node became leader meanwhile. */
  elections: number
  /** Sends that were acknowledged meanwhile. */
  acknowledged: number
  note: string
}

/** The faults of a history in their order, each with its longest gap. One that never ended lasts to the end of the history. */
export function outages(events: readonly HistoryEvent[]): Outage[] {
  const acknowledged: number[] = []
  const elections: number[] = []
  const found = new Map<number, Outage>()
  let lastMs = 0
  for (const event of events) {
    lastMs = Math.max(lastMs, event.at)
    if (event.op === 'send' && event.kind === 'ok') acknowledged.push(event.at)
    else if (event.op === 'leader') elections.push(event.at)
    else if (event.op === 'fault') {
      const known = found.get(event.number)
      if (known !== undefined && event.note !== undefined) known.note = event.note
      const { fault, number, nodes, at } = event
      if (event.kind === 'start') {
        const open = Number.POSITIVE_INFINITY
        const measured = { gapMs: 0, elections: 0, acknowledged: 0, note: '' }
        found.set(number, {
          fault,
          number,
          nodes,
          startMs: at,
          healedMs: open,
          endMs: open,
          ...measured
        })
      } else if (known !== undefined && event.kind === 'healed') known.healedMs = at
      else if (known !== undefined) known.endMs = at
    }
  }
  acknowledged.sort((a, b) => a - b)
  const all = [...found.values()].sort((a, b) => a.startMs - b.startMs)
  for (const outage of all) {
    outage.endMs = Math.min(outage.endMs, lastMs)
    outage.healedMs = Math.min(outage.healedMs, outage.endMs)
    outage.gapMs = longestGap(acknowledged, outage.startMs, outage.endMs)
    const within = (at: number): boolean => at >= outage.startMs && at <= outage.endMs
    outage.elections = elections.filter(within).length
    outage.acknowledged = acknowledged.filter(within).length
  }
  return all
}

/** Longest distance between two neighbours of the rising `times` that overlaps (fromMs, toMs); the time up to `toMs` counts too. */
export function longestGap(times: readonly number[], fromMs: number, toMs: number): number {
  let longest = 0
  let before = fromMs
  for (const time of times) {
    if (time < fromMs) before = time
    else if (time > toMs) break
    else {
      longest = Math.max(longest, time - before)
      before = time
    }
  }
  return Math.max(longest, toMs - before)
}

/** The value below which this share of the values lies, by the nearest rank; 0 of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
}
