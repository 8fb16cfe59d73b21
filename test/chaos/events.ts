import { readFileSync } from 'node:fs'
import process from 'node:process'

/**
 * One line of a history (NDJSON). `at` is ms of the machine's monotonic clock, the same for all processes of a run.
 * A send or a commit is an `invoke` line and one with its outcome; `unknown` may have happened or not.
 */
export type HistoryEvent = SendEvent | PlaceEvent | OffsetEvent | FaultEvent | LeaderEvent

interface Head {
  at: number
  /** Who did or saw it; a sender's name is also the first half of its values. */
  client: string
}

/** `value` is the message's body, `sender:sequence`, never used twice by intent: a repeated send has the same. */
export interface SendEvent extends Head {
  op: 'send'
  kind: 'invoke' | 'ok' | 'unknown'
  topic: string
  value: string
  /** Where it was stored; of `ok` only. */
  queue?: number
  offset?: number
  /** Why the outcome is not known; of `unknown` only. */
  error?: string
}

/** A message where it lies. */
interface Placed extends Head {
  kind: 'ok'
  topic: string
  value: string
  queue: number
  offset: number
}

/** As a consumer got it. */
export interface DeliverEvent extends Placed {
  op: 'deliver'
}

/** As it lies in a queue at the end. */
export interface StoredEvent extends Placed {
  op: 'stored'
  /** Came when the consumers were done: a copy that a cut connection had kept. Nobody has to have got it, and it is not what was acknowledged. */
  late?: boolean
}

export type PlaceEvent = DeliverEvent | StoredEvent

/** A group's committed offset: `commit` writes it, `read` asks for it; `sample` is what a broker told of a push consumer's group. */
export interface OffsetEvent extends Head {
  op: 'commit' | 'read' | 'sample'
  kind: 'invoke' | 'ok' | 'unknown'
  group: string
  topic: string
  queue: number
  /** Missing where a read was not answered yet. */
  offset?: number
}

export interface FaultEvent extends Head {
  op: 'fault'
  /** `healed`: the harm is over; `end`: the cluster is whole again. */
  kind: 'start' | 'healed' | 'end'
  fault: string
  /** Numbers the faults of a run. */
  number: number
  nodes: readonly string[]
  /** What was done or seen, for people. */
  note?: string
}

export interface LeaderEvent extends Head {
  op: 'leader'
  kind: 'ok'
  term: number
}

/** CLOCK_MONOTONIC in ms: comparable between processes of one machine. */
export function sharedNowMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000
}

/** @throws Error that names the line that is not an event. */
export function readHistory(file: string): HistoryEvent[] {
  const events: HistoryEvent[] = []
  for (const [at, line] of readFileSync(file, 'utf8').split('\n').entries()) {
    if (line === '') continue
    try {
      events.push(JSON.parse(line) as HistoryEvent)
    } catch (error) {
      throw new Error(`${file}:${at + 1} is not JSON`, { cause: error })
    }
  }
  return events
}
