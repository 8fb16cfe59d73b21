import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { RunResult } from './run.ts'

const PROGRESS_MS = 5_000

export interface CampaignOptions {
  readonly firstSeed: number
  /** Included. */
  readonly lastSeed: number
  readonly workers: number
  /** No seed is begun after it; null: all of them. */
  readonly timeMs: number | null
  /** Ends with the first seed that fails. */
  readonly first: boolean
  readonly print: (text: string) => void
}

/** Many seeds, divided among processes: one run changes the globals of its process, so each has one at a time. */
export class Campaign {
  readonly failed: number[] = []
  runs = 0
  events = 0
  acknowledged = 0
  readonly #o: CampaignOptions
  readonly #faults = new Map<string, number>()
  readonly #sums = new Map<string, number>()
  #nextSeed: number
  #startedMs = 0

  constructor(options: CampaignOptions) {
    this.#o = options
    this.#nextSeed = options.firstSeed
  }

  /** True when everything held. */
  async run(): Promise<boolean> {
    this.#startedMs = Date.now()
    const progress = setInterval(() => this.#o.print(this.#line()), PROGRESS_MS)
    try {
      await Promise.all(Array.from({ length: this.#o.workers }, () => this.#work()))
    } finally {
      clearInterval(progress)
    }
    this.#o.print(this.#line())
    const counted = (counts: Map<string, number>): string =>
      [...counts]
        .sort()
        .map(([name, count]) => `${name} ${count}`)
        .join(', ')
    this.#o.print(`faults: ${counted(this.#faults)}`)
    this.#o.print(`sums: ${counted(this.#sums)}`)
    if (this.failed.length > 0) this.#o.print(`failed seeds: ${this.failed.join(' ')}`)
    return this.failed.length === 0
  }

  #take(): number | null {
    const { lastSeed, timeMs, first } = this.#o
    if (this.#nextSeed > lastSeed || (first && this.failed.length > 0)) return null
    if (timeMs !== null && Date.now() - this.#startedMs > timeMs) return null
    return this.#nextSeed++
  }

  #work(): Promise<void> {
    return new Promise((resolve, reject) => {
      const worker = fork(fileURLToPath(new URL('./worker.js', import.meta.url)), {
        env: { TZ: 'UTC' }
      })
      let seed: number | null = null
      const next = (): void => {
        seed = this.#take()
        if (seed === null) worker.disconnect()
        else worker.send({ seed })
      }
      worker.on('message', (message: RunResult) => {
        this.#add(message)
        next()
      })
      worker.on('error', reject)
      worker.on('exit', code => {
        if (seed === null) return resolve()
        this.failed.push(seed)
        this.#o.print(`seed ${seed}: its process ended with ${code}; npm run sim -- --seed ${seed}`)
        this.#work().then(resolve, reject)
      })
      next()
    })
  }

  #add(result: RunResult): void {
    this.runs += 1
    this.events += result.events
    this.acknowledged += result.acknowledged
    for (const [kind, count] of Object.entries(result.faults)) {
      this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + count)
    }
    const { committedEntries, statesCompared, elections, registerReads, duplicates } = result
    const sums = { committedEntries, statesCompared, elections, registerReads, duplicates }
    for (const [name, count] of Object.entries(sums)) {
      this.#sums.set(name, (this.#sums.get(name) ?? 0) + count)
    }
    if (result.violations.length === 0) return
    this.failed.push(result.seed)
    this.#o.print(`seed ${result.seed} FAILED; npm run sim -- --seed ${result.seed}`)
    for (const violation of result.violations.slice(0, 3)) {
      this.#o.print(`  ${violation.slice(0, 600)}`)
    }
  }

  #line(): string {
    const seconds = Math.max(0.001, (Date.now() - this.#startedMs) / 1000)
    return (
      `${this.runs} seeds, ${this.failed.length} failed, ${(this.runs / seconds).toFixed(2)} seeds/s, ` +
      `${Math.round(this.events / seconds)} events/s, ${this.acknowledged} messages acknowledged`
    )
  }
}
