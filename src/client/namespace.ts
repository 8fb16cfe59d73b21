import { DLQ_PREFIX, isSystemTopic, RETRY_PREFIX } from '../protocol/index.ts'
import type { MessageQueue } from './queue.ts'
import type { ReceivedMessage } from './received.ts'

const SEPARATOR = '%'
const PREFIXES = [RETRY_PREFIX, DLQ_PREFIX] as const

/** Names that the user says (plain) and names that servers know (full): `<namespace>%<name>`, as RocketMQ's clients make them. */
export class Namespace {
  readonly #prefix: string

  /** Empty: both are the same. */
  constructor(name: string) {
    this.#prefix = name === '' ? '' : name + SEPARATOR
  }

  /** A topic's or group's name as servers know it. System topics and names that have the namespace already stay as they are. */
  full(name: string): string {
    if (this.#prefix === '' || isSystemTopic(name)) return name
    const [kind, bare] = split(name)
    return bare.startsWith(this.#prefix) ? name : kind + this.#prefix + bare
  }

  /** A name as the user knows it; those of other namespaces stay as they are. */
  plain(name: string): string {
    if (this.#prefix === '') return name
    const [kind, bare] = split(name)
    return bare.startsWith(this.#prefix) ? kind + bare.slice(this.#prefix.length) : name
  }

  fullQueue(queue: MessageQueue): MessageQueue {
    return this.#prefix === '' ? queue : { ...queue, topic: this.full(queue.topic) }
  }

  plainQueue(queue: MessageQueue): MessageQueue {
    return this.#prefix === '' ? queue : { ...queue, topic: this.plain(queue.topic) }
  }

  /** Messages as the user gets them. */
  plainMessages(messages: readonly ReceivedMessage[]): readonly ReceivedMessage[] {
    if (this.#prefix === '') return messages
    return messages.map(message => ({
      ...message,
      topic: this.plain(message.topic),
      queue: this.plainQueue(message.queue)
    }))
  }
}

function split(name: string): [kind: string, bare: string] {
  const kind = PREFIXES.find(prefix => name.startsWith(prefix)) ?? ''
  return [kind, name.slice(kind.length)]
}
