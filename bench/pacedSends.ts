const TICK_MS = 2

/** Sends at a rate that does not wait for answers, as long as not too many are open. */
export class PacedSends {
  readonly #perSecond: number
  readonly #openMax: number
  readonly #send: (i: number) => Promise<void>
  #open = 0
  #stopped = false
  #failure: unknown = null

  /** `send` gets the number of the message; when it rejects, `run` does. */
  constructor(perSecond: number, openMax: number, send: (i: number) => Promise<void>) {
    this.#perSecond = perSecond
    this.#openMax = openMax
    this.#send = send
  }

  /** Resolves when all are answered: `count` of them, or all until `stop`. */
  async run(count = Number.POSITIVE_INFINITY): Promise<void> {
    const beganMs = performance.now()
    let started = 0
    while (started < count && !this.#stopped) {
      const seconds = (performance.now() - beganMs) / 1_000
      const due = Math.min(count, Math.ceil(seconds * this.#perSecond))
      while (started < due && this.#open < this.#openMax) {
        this.#start(started)
        started += 1
      }
      await this.#tick()
    }
    while (this.#open > 0) await this.#tick()
  }

  stop(): void {
    this.#stopped = true
  }

  #start(i: number): void {
    this.#open += 1
    this.#send(i).then(
      () => {
        this.#open -= 1
      },
      (error: unknown) => {
        this.#open -= 1
        this.#failure ??= error
      }
    )
  }

  async #tick(): Promise<void> {
    await pause(TICK_MS)
    if (this.#failure !== null) throw this.#failure
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}
