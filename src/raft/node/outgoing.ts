import type { AppendMessage, Message } from '../core/index.ts'
import type { Entry, RaftLog } from '../log/index.ts'
import type { CatchUp } from './catchUp.ts'
import type { Transport } from './transport.ts'

const NO_ENTRIES: readonly Entry[] = []

/** Puts the entries behind the core's messages: from the tail cache, or as they were read for this follower. */
export class Outgoing {
  readonly #log: RaftLog
  readonly #transport: Transport
  readonly #catchUp: CatchUp
  readonly #term: () => number
  readonly #manifestOf: (snapshotId: string) => Buffer | null

  /** `term`: the present one; -1 when nothing may leave any more. */
  constructor(
    log: RaftLog,
    transport: Transport,
    catchUp: CatchUp,
    term: () => number,
    manifestOf: (snapshotId: string) => Buffer | null
  ) {
    this.#log = log
    this.#transport = transport
    this.#catchUp = catchUp
    this.#term = term
    this.#manifestOf = manifestOf
  }

  /** Leaves with the next flush. */
  send(to: string, message: Message): void {
    if (message.type === 'snapshotOffer') {
      const manifest = this.#manifestOf(message.snapshotId)
      if (manifest !== null) this.#transport.send(to, message, [{ bytes: manifest }])
      return
    }
    if (message.type !== 'append' || message.count === 0) {
      this.#transport.send(to, message, NO_ENTRIES)
      return
    }
    const entries: Entry[] = []
    const first = message.prevIndex + 1
    for (let index = first; index < first + message.count; index += 1) {
      const entry = this.#log.entryAt(index) ?? this.#catchUp.entryAt(to, index)
      if (entry === null) {
        this.#sendLater(to, message)
        return
      }
      entries.push(entry)
    }
    this.#transport.send(to, message, entries)
  }

  /** The entries left the memory between the decision and now; appends are idempotent, and say for which process they were meant (R-D6), so late is as good. */
  #sendLater(to: string, message: AppendMessage): void {
    this.#log.readEntries(message.prevIndex + 1, message.payloadBytes).then(
      entries => {
        if (this.#term() !== message.term || entries.length < message.count) return
        entries.length = message.count
        this.#transport.send(to, message, entries)
        this.#transport.flush()
      },
      () => {} // damage is reported by the log; the follower's silence makes the core ask again
    )
  }
}
