import {
  ByteRange,
  findProperty,
  getPropertiesRange,
  MessageProperty
} from '../../protocol/index.ts'
import type { MessageFilter } from '../../store/index.ts'

const originalTopic = Buffer.from(MessageProperty.RETRY_TOPIC)
const bytesOfOneWork = 32

/** For a retry topic with filterSupportRetry: each message is filtered as the group now filters the topic from which it came. */
export class RetryFilter implements MessageFilter {
  readonly #filters: ReadonlyMap<string, MessageFilter>
  readonly #range = new ByteRange()
  #ownWork = 0

  /** By topic; messages of other topics pass. */
  constructor(filters: ReadonlyMap<string, MessageFilter>) {
    this.#filters = filters
  }

  get work(): number {
    let work = this.#ownWork
    for (const filter of this.#filters.values()) work += filter.work
    return work
  }

  matches(bytes: Uint8Array, at: number): boolean {
    const range = this.#range
    getPropertiesRange(bytes, at, range)
    this.#ownWork += Math.ceil((range.end - range.start) / bytesOfOneWork)
    if (!findProperty(bytes, range.start, range.end, originalTopic, range)) return true
    const topic = Buffer.from(bytes.buffer, bytes.byteOffset + range.start, range.end - range.start)
    return this.#filters.get(topic.toString('utf8'))?.matches(bytes, at) ?? true
  }
}
