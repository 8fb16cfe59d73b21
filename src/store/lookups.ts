/** Single messages and places: by log position, by queue offset, by time, by key. Rare, so promises are fine here. */
import { getUint32 } from '../protocol/index.ts'
import type { LogReader } from '../raft/index.ts'
import { type ConsumeQueue, decodeUnit, UNIT_BYTES, UnitSpan } from './consumeQueue.ts'
import { keyHash, topicSeed } from './keyHash.ts'
import type { KeyIndex } from './keyIndex.ts'
import { REPAIR_PATIENCE_MS } from './pull.ts'
import type { QueueFiles } from './queueFiles.ts'
import type { QueueTable } from './queueTable.ts'
import {
  isMessageAt,
  readStoreTime,
  STORE_TIME_REACH_BYTES,
  StoredMessageView
} from './storedMessageView.ts'
import type { KeyQuery, KeyQueryResult, QueueUnit } from './types.ts'

const MESSAGE_HEAD_BYTES = 40
/** Places that a key may have beyond those wanted: false hits of the hash, and messages outside of the topic. */
const CANDIDATES_EXTRA = 64
/** What one query gathers at most, but one message in any case: as much as an answer holds. The older ones stay away. */
const QUERY_BYTES_MAX = 16 * 1024 * 1024

export interface LookupsHost {
  readonly files: QueueFiles
  readonly index: KeyIndex | null
  log(): LogReader
  /** End of the last applied entry: nothing behind it is shown. */
  appliedPosition(): number
}

export class Lookups {
  readonly #host: LookupsHost
  /** Changes with a trim only, and is dear to find out: one look for each queue. */
  #earliest = { position: 0, timeMs: -1 }

  constructor(host: LookupsHost) {
    this.#host = host
  }

  /** Null when no committed message begins there. Any number may be asked for: ids come from clients. */
  async messageAt(position: number): Promise<Buffer | null> {
    try {
      return await this.#message(position, REPAIR_PATIENCE_MS)
    } catch {
      // Not inside one entry, trimmed, or damaged: there is no message to show.
      return null
    }
  }

  /** As `messageAt`; rejects when it cannot be read. */
  async #message(position: number, patienceMs: number): Promise<Buffer | null> {
    const log = this.#host.log()
    const end = this.#host.appliedPosition()
    if (!Number.isSafeInteger(position)) return null
    if (position < log.startPosition || position + MESSAGE_HEAD_BYTES > end) return null
    const head = log.peek(position, MESSAGE_HEAD_BYTES)
    const message =
      head === null
        ? await log.patiently(
            () => log.readSized(position, MESSAGE_HEAD_BYTES, messageSize),
            patienceMs
          )
        : log.peek(position, messageSize(head))
    if (message === null || position + message.length > end) return null
    return isMessageAt(message, 0, position) ? message : null
  }

  async unit(queue: ConsumeQueue, offset: number): Promise<QueueUnit | null> {
    const span = new UnitSpan()
    return (await this.#span(queue, offset, span)) ? decodeUnit(span.bytes, span.at) : null
  }

  async units(queue: ConsumeQueue, offset: number, maxUnits: number): Promise<QueueUnit[]> {
    const span = new UnitSpan()
    if (!(await this.#span(queue, offset, span))) return []
    const units: QueueUnit[] = []
    for (let i = 0; i < Math.min(span.units, maxUnits); i++) {
      units.push(decodeUnit(span.bytes, span.at + i * UNIT_BYTES))
    }
    return units
  }

  /** -1 when there is no such message. */
  async storeTime(queue: ConsumeQueue, offset: number): Promise<number> {
    const unit = await this.unit(queue, offset)
    if (unit === null) return -1
    return readStoreTime(await this.#bytes(unit.physicalOffset, STORE_TIME_REACH_BYTES), 0)
  }

  /** `trimPosition`: where the log begins. -1 when it is empty. */
  async earliestLogTime(trimPosition: number, queues: QueueTable): Promise<number> {
    if (this.#earliest.timeMs < 0 || this.#earliest.position !== trimPosition) {
      const timeMs = await this.earliestTime([...queues.all()])
      this.#earliest = { position: trimPosition, timeMs }
    }
    return this.#earliest.timeMs
  }

  /** Store time of the oldest message that any of the queues still has; -1 when they are empty. */
  async earliestTime(queues: readonly ConsumeQueue[]): Promise<number> {
    let position = Number.MAX_SAFE_INTEGER
    for (const queue of queues) {
      const unit = await this.unit(queue, queue.minOffset)
      if (unit !== null && unit.physicalOffset < position) position = unit.physicalOffset
    }
    if (position === Number.MAX_SAFE_INTEGER) return -1
    return readStoreTime(await this.#bytes(position, STORE_TIME_REACH_BYTES), 0)
  }

  /**
   * lower: the first message stored at or after the time; behind the last: the end.
   * upper: the last message stored at or before the time; before the first: 0 (5.3.3).
   */
  async offsetByTime(
    queue: ConsumeQueue,
    timestamp: number,
    boundary: 'lower' | 'upper'
  ): Promise<number> {
    let low = queue.minOffset
    let high = queue.maxOffset
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      const time = await this.storeTime(queue, middle)
      // Trimmed while we searched: everything up to here is older than what is left.
      const before = boundary === 'lower' ? time < timestamp : time <= timestamp
      if (time < 0 || before) low = middle + 1
      else high = middle
    }
    if (boundary === 'lower') return low
    return Math.max(queue.minOffset, low - 1)
  }

  async query(query: KeyQuery): Promise<KeyQueryResult> {
    const index = this.#host.index
    if (index === null)
      return { messages: [], unreadable: 0, lastUpdateTimestamp: 0, lastUpdatePhysicalOffset: 0 }
    const topic = Buffer.from(query.topic)
    const key = Buffer.from(query.key)
    const hash = keyHash(topicSeed(topic), key, 0, key.length)
    const positions = await index.search(
      hash,
      query.beginTimestamp,
      query.endTimestamp,
      query.maxMessages + CANDIDATES_EXTRA,
      this.#host.appliedPosition()
    )
    const messages: Buffer[] = []
    const view = new StoredMessageView()
    let bytes = 0
    let unreadable = 0
    for (const position of positions) {
      if (messages.length === query.maxMessages) break
      // One that nobody gives back is waited for; so much for this query.
      const patienceMs = unreadable === 0 ? REPAIR_PATIENCE_MS : 0
      const message = await this.#message(position, patienceMs).catch(() => {
        unreadable += 1
        return null
      })
      if (message === null || !hasKey(view, message, topic, key)) continue
      bytes += message.length
      if (bytes > QUERY_BYTES_MAX && messages.length > 0) break
      messages.push(message)
    }
    return {
      messages: messages.reverse(),
      unreadable,
      lastUpdateTimestamp: index.lastTimestamp,
      lastUpdatePhysicalOffset: index.lastPosition
    }
  }

  async #span(queue: ConsumeQueue, offset: number, into: UnitSpan): Promise<boolean> {
    if (!(offset >= queue.minOffset && offset < queue.maxOffset)) return false
    if (queue.spanInMemory(offset, into)) return true
    if (this.#host.files.spanInCache(queue, offset, into)) return true
    return await this.#host.files.loadSpan(queue, offset, into)
  }

  async #bytes(position: number, length: number): Promise<Buffer> {
    const log = this.#host.log()
    const read = (): Promise<Buffer> => log.read(position, length)
    return log.peek(position, length) ?? (await log.patiently(read, REPAIR_PATIENCE_MS))
  }
}

function messageSize(head: Buffer): number {
  return getUint32(head, 0)
}

function hasKey(view: StoredMessageView, bytes: Buffer, topic: Buffer, key: Buffer): boolean {
  if (view.read(bytes, 0, bytes.length) !== null) return false
  if (!bytes.subarray(view.topicStart, view.topicEnd).equals(topic)) return false
  view.scanProperties()
  if (bytes.subarray(view.uniqueKeyStart, view.uniqueKeyEnd).equals(key)) return true
  const words = bytes.toString('utf8', view.keysStart, view.keysEnd).split(' ')
  return words.includes(key.toString('utf8'))
}
