import { RequestCode, ResetOffsetBody, ResponseCode } from '../protocol/index.ts'
import { readBody } from './bodies.ts'
import { numberField } from './caller.ts'
import { asError, badArgument, refused } from './errors.ts'
import type { ClientInstance } from './instance.ts'
import { type MessageQueue, queueKey } from './queue.ts'

/** Offset queries and updates take longer than small calls: remoting.md 5.3. */
const OFFSET_CALL_TIMEOUT_MS = 5_000

/** How far a group is in each queue. `update` only remembers; `persist` makes it last. */
export interface OffsetStore {
  /** The stored offset; null when the group has none for this queue. Rejects when it cannot be told at present. */
  read(queue: MessageQueue): Promise<number | null>
  update(queue: MessageQueue, offset: number): void
  /** What `update` was told last, else null. */
  current(queue: MessageQueue): number | null
  /** Stores what changed since the last time. Resolves also when some of it failed: that is tried again next time. */
  persist(): Promise<void>
  /** The queue is another member's from now on. */
  forget(queue: MessageQueue): void
}

interface Progress {
  readonly queue: MessageQueue
  offset: number
  storedOffset: number | null
}

/** Offsets of a clustering group: at the brokers. */
export class RemoteOffsetStore implements OffsetStore {
  readonly #instance: ClientInstance
  readonly #group: string
  readonly #progress = new Map<string, Progress>()

  constructor(instance: ClientInstance, group: string) {
    this.#instance = instance
    this.#group = group
  }

  async read(queue: MessageQueue): Promise<number | null> {
    return queryOffset(this.#instance, this.#group, queue)
  }

  update(queue: MessageQueue, offset: number): void {
    const known = this.#progress.get(queueKey(queue))
    if (known !== undefined) known.offset = offset
    else this.#progress.set(queueKey(queue), { queue, offset, storedOffset: null })
  }

  current(queue: MessageQueue): number | null {
    return this.#progress.get(queueKey(queue))?.offset ?? null
  }

  async persist(): Promise<void> {
    const changed = [...this.#progress.values()].filter(p => p.offset !== p.storedOffset)
    await Promise.all(changed.map(progress => this.#store(progress)))
  }

  forget(queue: MessageQueue): void {
    this.#progress.delete(queueKey(queue))
  }

  async #store(progress: Progress): Promise<void> {
    const { queue, offset } = progress
    try {
      await commitOffset(this.#instance, this.#group, queue, offset)
      progress.storedOffset = offset
    } catch (error) {
      this.#instance.routes.refreshSoon(queue.topic)
      this.#instance.logger.warn('An offset could not be stored yet', {
        group: this.#group,
        ...queue,
        offset,
        error: asError(error).message
      })
    }
  }
}

/**
 * Offsets of a broadcasting group: every client has its own, in a file of the original's place and form
 * (`<directory>/<clientId>/<group>/offsets.json`, broker.md 4.7).
 */
export class LocalOffsetStore implements OffsetStore {
  readonly #instance: ClientInstance
  readonly #directory: string
  readonly #path: string
  readonly #offsets = new Map<string, { queue: MessageQueue; offset: number }>()
  #loading: Promise<void> | null = null
  #changed: boolean = false
  #writing: Promise<void> = Promise.resolve()

  constructor(instance: ClientInstance, group: string, directory: string) {
    this.#instance = instance
    this.#directory = `${directory}/${instance.clientId}/${group}`
    this.#path = `${this.#directory}/offsets.json`
  }

  async read(queue: MessageQueue): Promise<number | null> {
    this.#loading ??= this.#load()
    await this.#loading
    return this.current(queue)
  }

  update(queue: MessageQueue, offset: number): void {
    this.#offsets.set(queueKey(queue), { queue, offset })
    this.#changed = true
  }

  current(queue: MessageQueue): number | null {
    return this.#offsets.get(queueKey(queue))?.offset ?? null
  }

  async persist(): Promise<void> {
    try {
      await this.#write()
    } catch (error) {
      this.#instance.logger.warn('The offsets file could not be written', {
        path: this.#path,
        error: asError(error).message
      })
    }
  }

  /** As `persist`, but rejects with the disk's error. */
  async #write(): Promise<void> {
    // One after the other: each stores what was told until it begins.
    const turn = this.#writing.then(() => this.#writeChanged())
    this.#writing = turn.catch(() => {})
    await turn
  }

  /** `update` and `write` of one queue; the others stay as they are in the file. */
  async store(queue: MessageQueue, offset: number): Promise<void> {
    await this.read(queue)
    this.update(queue, offset)
    await this.#write()
  }

  async #writeChanged(): Promise<void> {
    if (!this.#changed) return
    this.#changed = false
    // The file has the form of a reset's body (remoting.md 3.3).
    const content = ResetOffsetBody.encode({
      offsetTable: [...this.#offsets.values()].map(({ queue, offset }) => [queue, offset])
    })
    try {
      await this.#instance.platform.disk.makeDirectory(this.#directory)
      await this.#instance.platform.disk.writeFileAtomic(this.#path, content)
    } catch (error) {
      this.#changed = true
      throw error
    }
  }

  forget(): void {
    // A broadcasting client keeps all queues for good.
  }

  async #load(): Promise<void> {
    const { disk } = this.#instance.platform
    if (!(await disk.exists(this.#path))) return
    const content = readBody(ResetOffsetBody, await disk.readFile(this.#path), this.#path)
    for (const [queue, offset] of content.offsetTable) {
      if (!this.#offsets.has(queueKey(queue))) this.#offsets.set(queueKey(queue), { queue, offset })
    }
  }
}

/** QUERY_CONSUMER_OFFSET (14): null when the group has no offset for the queue. */
export async function queryOffset(
  instance: ClientInstance,
  group: string,
  queue: MessageQueue
): Promise<number | null> {
  const address = await instance.replica(queue.topic, queue.brokerName)
  const answer = await instance.caller.call(
    address,
    RequestCode.QUERY_CONSUMER_OFFSET,
    { consumerGroup: group, topic: queue.topic, queueId: queue.queueId, bname: queue.brokerName },
    { timeoutMs: OFFSET_CALL_TIMEOUT_MS }
  )
  if (answer.code === ResponseCode.QUERY_NOT_FOUND) return null
  if (answer.code !== ResponseCode.SUCCESS) throw refused(address, answer.code, answer.remark)
  return numberField(address, answer, 'offset')
}

/** Throws BAD_ARGUMENT. */
export function checkOffset(offset: number): void {
  if (Number.isSafeInteger(offset) && offset >= 0) return
  throw badArgument(`an offset must be a whole number from 0 on, not ${offset}`)
}

/** UPDATE_CONSUMER_OFFSET (15), awaited. */
export async function commitOffset(
  instance: ClientInstance,
  group: string,
  queue: MessageQueue,
  offset: number
): Promise<void> {
  checkOffset(offset)
  const address = await instance.replica(queue.topic, queue.brokerName)
  await instance.caller.ask(
    address,
    RequestCode.UPDATE_CONSUMER_OFFSET,
    {
      consumerGroup: group,
      topic: queue.topic,
      queueId: queue.queueId,
      commitOffset: offset,
      bname: queue.brokerName
    },
    { timeoutMs: OFFSET_CALL_TIMEOUT_MS }
  )
}

/** Min, max and by-time offsets: all three go to the leader only (remoting.md 5.5). */
const EDGE_CALL_TIMEOUT_MS = 6_000

export async function queueEdge(
  instance: ClientInstance,
  code: typeof RequestCode.GET_MAX_OFFSET | typeof RequestCode.GET_MIN_OFFSET,
  queue: MessageQueue
): Promise<number> {
  const address = await instance.leader(queue.topic, queue.brokerName)
  const answer = await instance.caller.ask(
    address,
    code,
    { topic: queue.topic, queueId: queue.queueId, bname: queue.brokerName },
    { timeoutMs: EDGE_CALL_TIMEOUT_MS }
  )
  return numberField(address, answer, 'offset')
}

/** SEARCH_OFFSET_BY_TIMESTAMP (29): the first message stored at `timestampMs` or later. */
export async function offsetByTime(
  instance: ClientInstance,
  queue: MessageQueue,
  timestampMs: number
): Promise<number> {
  const address = await instance.leader(queue.topic, queue.brokerName)
  const answer = await instance.caller.ask(
    address,
    RequestCode.SEARCH_OFFSET_BY_TIMESTAMP,
    {
      topic: queue.topic,
      queueId: queue.queueId,
      timestamp: timestampMs,
      bname: queue.brokerName
    },
    { timeoutMs: EDGE_CALL_TIMEOUT_MS }
  )
  return numberField(address, answer, 'offset')
}
