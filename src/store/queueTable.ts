/**
 * All consume queues by topic and id. Found by the topic's raw bytes on the way of apply, so that no string
 * is made for each message; by name elsewhere.
 */
import { ConsumeQueue } from './consumeQueue.ts'
import { topicSeed } from './keyHash.ts'

interface TopicQueues {
  readonly topic: string
  readonly bytes: Uint8Array
  readonly keySeed: number
  readonly queues: Map<number, ConsumeQueue>
  /** Another topic with the same hash of its bytes. */
  next: TopicQueues | null
}

export class QueueTable {
  readonly #byName = new Map<string, TopicQueues>()
  readonly #byHash = new Map<number, TopicQueues>()
  #last: TopicQueues | null = null
  #serial = 0
  #count = 0

  get count(): number {
    return this.#count
  }

  find(topic: string, queueId: number): ConsumeQueue | undefined {
    return this.#byName.get(topic)?.queues.get(queueId)
  }

  queueIds(topic: string): number[] {
    const queues = this.#byName.get(topic)?.queues
    return queues === undefined ? [] : [...queues.keys()].sort((a, b) => a - b)
  }

  topics(): string[] {
    return [...this.#byName.keys()]
  }

  *all(): Iterable<ConsumeQueue> {
    for (const topic of this.#byName.values()) yield* topic.queues.values()
  }

  obtain(topic: string, queueId: number): ConsumeQueue {
    const found = this.#byName.get(topic) ?? this.#add(Buffer.from(topic), topic)
    return this.#queueOf(found, queueId)
  }

  /** The topic's name as UTF-8 in `bytes` from `start` to `end`. */
  obtainByBytes(bytes: Uint8Array, start: number, end: number, queueId: number): ConsumeQueue {
    const last = this.#last
    if (last !== null && isSame(last.bytes, bytes, start, end)) return this.#queueOf(last, queueId)
    let found = this.#byHash.get(hashOf(bytes, start, end)) ?? null
    while (found !== null && !isSame(found.bytes, bytes, start, end)) found = found.next
    found ??= this.#add(Buffer.from(bytes.slice(start, end)), null)
    this.#last = found
    return this.#queueOf(found, queueId)
  }

  /** As `obtainByBytes`, of the queues that are there. */
  findByBytes(bytes: Uint8Array, start: number, end: number, queueId: number): ConsumeQueue | null {
    let found = this.#byHash.get(hashOf(bytes, start, end)) ?? null
    while (found !== null && !isSame(found.bytes, bytes, start, end)) found = found.next
    return found?.queues.get(queueId) ?? null
  }

  /** Forgets the topic; the queues that it had. */
  remove(topic: string): ConsumeQueue[] {
    const found = this.#byName.get(topic)
    if (found === undefined) return []
    this.#byName.delete(topic)
    if (this.#last === found) this.#last = null
    const hash = hashOf(found.bytes, 0, found.bytes.length)
    let at = this.#byHash.get(hash) ?? null
    if (at === found) {
      if (found.next === null) this.#byHash.delete(hash)
      else this.#byHash.set(hash, found.next)
    } else {
      while (at !== null && at.next !== found) at = at.next
      if (at !== null) at.next = found.next
    }
    this.#count -= found.queues.size
    return [...found.queues.values()]
  }

  #add(bytes: Buffer, name: string | null): TopicQueues {
    const topic = name ?? bytes.toString('utf8')
    const hash = hashOf(bytes, 0, bytes.length)
    const added: TopicQueues = {
      topic,
      bytes,
      keySeed: topicSeed(bytes),
      queues: new Map(),
      next: this.#byHash.get(hash) ?? null
    }
    this.#byHash.set(hash, added)
    this.#byName.set(topic, added)
    return added
  }

  #queueOf(topic: TopicQueues, queueId: number): ConsumeQueue {
    let queue = topic.queues.get(queueId)
    if (queue === undefined) {
      queue = new ConsumeQueue(topic.topic, queueId, this.#serial++, topic.keySeed)
      topic.queues.set(queueId, queue)
      this.#count += 1
    }
    return queue
  }
}

/** FNV-1a. */
function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193)
  return hash
}

function isSame(name: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (name.length !== end - start) return false
  for (let i = 0; i < name.length; i++) if (name[i] !== bytes[start + i]) return false
  return true
}
