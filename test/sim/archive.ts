import { decodeStoredMessage, plainBody, type StoredMessage } from '../../src/protocol/index.ts'
import { ENTRY_HEADER_BYTES, type Entry, EntryKind } from '../../src/raft/index.ts'

const BODY_BYTES_MAX = 4 * 1024 * 1024

/** A message as it was applied: also when retention has taken it from all disks since. */
export interface Archived {
  readonly topic: string
  /** Of one that waits: where it goes. */
  readonly realTopic: string
  readonly queueId: number
  readonly queueOffset: number
  /** In plain. */
  readonly body: Buffer
  /** When it is to be delivered, by the log's time; 0: it names no time. */
  readonly dueMs: number
  readonly storeTimestamp: number
}

/** All messages that were ever applied, for runs in which the log loses its beginning. */
export class Archive {
  readonly #entries: { readonly index: number; readonly count: number; readonly bytes: Buffer }[] =
    []
  #messages: readonly Archived[] | null = null

  /** In the order of the log, each once. */
  add({ index, kind, count, bytes }: Entry): void {
    if (kind !== EntryKind.messages) return
    this.#entries.push({ index, count, bytes: Buffer.from(bytes) })
    this.#messages = null
  }

  /** These were lost, and others came in their place. */
  forgetFrom(index: number): void {
    while (this.#entries.length > 0 && this.#entries.at(-1)!.index >= index) this.#entries.pop()
    this.#messages = null
  }

  /** In the order of the log. */
  get messages(): readonly Archived[] {
    this.#messages ??= this.#entries.flatMap(({ count, bytes }) => decode(bytes, count))
    return this.#messages
  }
}

function decode(bytes: Buffer, count: number): Archived[] {
  const all: Archived[] = []
  for (let at = ENTRY_HEADER_BYTES, i = 0; i < count; i++) {
    const message = decodeStoredMessage(bytes, at)
    all.push(archived(message))
    at += message.totalSize
  }
  return all
}

export function archived({
  topic,
  queueId,
  queueOffset,
  body: packed,
  sysFlag,
  properties,
  storeTimestamp
}: StoredMessage): Archived {
  const body = plainBody(packed, sysFlag, BODY_BYTES_MAX)
  const realTopic = properties.get('REAL_TOPIC') ?? topic
  const dueMs = Number(properties.get('TIMER_DELIVER_MS') ?? 0)
  return { topic, realTopic, queueId, queueOffset, body, dueMs, storeTimestamp }
}
