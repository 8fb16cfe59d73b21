import type { Clock, Timer } from '../platform/index.ts'
import { batchEntryBytes, resultsOfMembers } from './batch.ts'
import { asError } from './errors.ts'
import type { PreparedMessage } from './outgoing.ts'
import type { SendResult } from './sendRequest.ts'

interface Waiting {
  readonly message: PreparedMessage
  resolve(result: SendResult): void
  reject(error: Error): void
}

export interface BatcherOptions {
  readonly messagesMax: number
  readonly bytesMax: number
  readonly lingerMs: number
}

/** Gathers messages of one topic that are sent close together; each caller is told of its own message. */
export class Batcher {
  readonly #clock: Clock
  readonly #options: BatcherOptions
  readonly #flush: (messages: readonly PreparedMessage[]) => Promise<SendResult>
  #waiting: Waiting[] = []
  #bytes = 0
  #timer: Timer | null = null
  #scheduled: boolean = false

  constructor(
    clock: Clock,
    options: BatcherOptions,
    flush: (messages: readonly PreparedMessage[]) => Promise<SendResult>
  ) {
    this.#clock = clock
    this.#options = options
    this.#flush = flush
  }

  add(message: PreparedMessage): Promise<SendResult> {
    const bytes = batchEntryBytes(message)
    if (this.#bytes + bytes > this.#options.bytesMax) this.flush()
    return new Promise((resolve, reject) => {
      this.#waiting.push({ message, resolve, reject })
      this.#bytes += bytes
      if (this.#waiting.length >= this.#options.messagesMax) this.flush()
      else this.#schedule()
    })
  }

  /** Sends what was gathered now. */
  flush(): void {
    this.#timer?.cancel()
    this.#timer = null
    this.#scheduled = false
    const batch = this.#waiting
    if (batch.length === 0) return
    this.#waiting = []
    this.#bytes = 0
    this.#flush(batch.map(waiting => waiting.message)).then(
      result => {
        const results = batch.length === 1 ? [result] : resultsOfMembers(result)
        for (const [at, waiting] of batch.entries()) waiting.resolve(results[at] ?? result)
      },
      (error: unknown) => {
        for (const waiting of batch) waiting.reject(asError(error))
      }
    )
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    const flush = (): void => {
      if (this.#scheduled) this.flush()
    }
    if (this.#options.lingerMs === 0) this.#clock.turnEnd(flush)
    else this.#timer = this.#clock.after(this.#options.lingerMs, flush)
  }
}
