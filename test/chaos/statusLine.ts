import process from 'node:process'
import { sharedNowMs } from './events.ts'
import type { LoadCounts } from './load.ts'

const REFRESH_MS = 500
const SECOND_MS = 1000

/** What is going on: a line that renews itself on a terminal, and one that stays for each thing that happened. */
export class StatusLine {
  readonly #startMs = sharedNowMs()
  readonly #live = process.stdout.isTTY
  readonly #timer: NodeJS.Timeout
  #ask: (() => Promise<LoadCounts>) | null = null
  #what = ''
  #counts: LoadCounts | null = null
  #rate = 0

  constructor() {
    this.#timer = setInterval(() => void this.#refresh(), REFRESH_MS)
  }

  tell(what: string): void {
    this.#what = what
    process.stdout.write(`${this.#live ? '\r\x1b[K' : ''}${this.#clock()} ${what}\n`)
  }

  watch(ask: (() => Promise<LoadCounts>) | null): void {
    this.#ask = ask
  }

  end(): void {
    clearInterval(this.#timer)
    if (this.#live) process.stdout.write('\r\x1b[K')
  }

  async #refresh(): Promise<void> {
    if (!this.#live || this.#ask === null) return
    const counts = await this.#ask().catch(() => null)
    if (counts === null) return
    const before = this.#counts?.acknowledged ?? 0
    this.#rate = Math.max(0, ((counts.acknowledged - before) * SECOND_MS) / REFRESH_MS)
    this.#counts = counts
    const { acknowledged, failed, delivered, sinceMs } = counts
    process.stdout.write(
      `\r\x1b[K${this.#clock()} ${acknowledged} acknowledged (${Math.round(this.#rate)}/s, last ` +
        `${Math.round(sinceMs)} ms ago), ${failed} in doubt, ${delivered} delivered | ${this.#what.slice(0, 60)}`
    )
  }

  #clock(): string {
    const seconds = Math.floor((sharedNowMs() - this.#startMs) / SECOND_MS)
    return `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}`
  }
}
