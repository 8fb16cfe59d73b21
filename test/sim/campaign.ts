import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { coreCommand, usualCore } from './coreRun.ts'
import { clusterCommand } from './minimize.ts'
import type { Wanted } from './plan.ts'
import { nameOf, RULES } from './rules.ts'
import { type RunResult, WHOLE_RUN } from './run.ts'
import type { Answer, Task } from './worker.ts'

const PROGRESS_MS = 5_000
/** Core schedules a worker plays before it answers. */
const CORES_A_TASK = 50
/** A run throws away what it allocates: 33.1 -> 29.2 s of CPU for ten clusters against V8's 16 MiB, no better with 128. */
const YOUNG_SPACE = '--max-semi-space-size=64'
/** A campaign of so many runs must have come to every rule and every kind of fault, or it proves little. */
const ALL_SEEN_FROM_RUNS = { cluster: 500, core: 5_000 } as const

export type Depth = 'cluster' | 'core'

export interface CampaignOptions {
  readonly depth: Depth
  readonly firstSeed: number
  /** Included. */
  readonly lastSeed: number
  readonly workers: number
  /** No seed is begun after it; null: all of them. */
  readonly timeMs: number | null
  /** Ends with the first seed that fails. */
  readonly first: boolean
  /** Names that must have been counted in a long campaign. */
  readonly expected: readonly string[]
  /** Asked of every run of the whole cluster. */
  readonly wanted: Wanted
  readonly print: (text: string) => void
  /** What plays the seeds; worker.ts by default. */
  readonly worker?: URL
}

/** Many seeds, divided among processes: one run changes the globals of its process, so each has one at a time. */
export class Campaign {
  readonly failed: number[] = []
  runs = 0
  events = 0
  acknowledged = 0
  readonly faults = new Map<string, number>()
  readonly rules = new Map<string, number>()
  readonly #o: CampaignOptions
  readonly #sums = new Map<string, number>()
  #nextSeed: number
  #startedMs = 0
  /** Counting rules costs a quarter of the speed: it ends when this many runs have come to all of them. */
  #countedRuns: number

  constructor(options: CampaignOptions) {
    this.#o = options
    this.#nextSeed = options.firstSeed
    this.#countedRuns = ALL_SEEN_FROM_RUNS[options.depth]
  }

  /** True when everything held, and a long campaign has come to everything. */
  async run(): Promise<boolean> {
    this.#startedMs = Date.now()
    const progress = setInterval(() => this.#o.print(this.#line()), PROGRESS_MS)
    try {
      await Promise.all(Array.from({ length: this.#o.workers }, () => this.#work()))
    } finally {
      clearInterval(progress)
    }
    const { print, depth } = this.#o
    print(this.#line())
    print(`faults: ${counted(this.faults)}`)
    if (depth === 'cluster') print(`sums: ${counted(this.#sums)}`)
    const countedRuns = Math.min(this.runs, this.#countedRuns)
    print(`rules, in the first ${countedRuns} runs or so: ${counted(this.rules)}`)
    const missing = this.missing()
    if (missing.length > 0) print(`never come to: ${missing.join('; ')}`)
    if (this.failed.length > 0) print(`failed seeds: ${this.failed.join(' ')}`)
    const mustSeeAll = this.runs >= ALL_SEEN_FROM_RUNS[depth]
    return this.failed.length === 0 && !(mustSeeAll && missing.length > 0)
  }

  /** Rules of this depth and expected faults that were not counted. */
  missing(): string[] {
    const { expected } = this.#o
    const faults = expected.filter(name => (this.faults.get(name) ?? 0) === 0)
    return [...this.#missingRules(), ...faults]
  }

  #missingRules(): string[] {
    const { depth } = this.#o
    const rules = RULES.filter(rule => rule.depths.includes(depth)).map(nameOf)
    return rules.filter(name => (this.rules.get(name) ?? 0) === 0)
  }

  #take(): Task | null {
    const { depth, lastSeed, timeMs, first, wanted } = this.#o
    if (this.#nextSeed > lastSeed || (first && this.failed.length > 0)) return null
    if (timeMs !== null && Date.now() - this.#startedMs > timeMs) return null
    const seed = this.#nextSeed
    const count = depth === 'core' ? Math.min(CORES_A_TASK, lastSeed - seed + 1) : 1
    this.#nextSeed += count
    return depth === 'core' ? { depth, seed, count } : { depth, seed, wanted }
  }

  #work(): Promise<void> {
    return new Promise((resolve, reject) => {
      const counts = this.runs < this.#countedRuns
      const program = this.#o.worker ?? new URL('./worker.js', import.meta.url)
      const worker = fork(fileURLToPath(program), {
        env: { TZ: 'UTC', ...(counts ? { COUNT_RULES: '1' } : {}) },
        execArgv: [...process.execArgv, YOUNG_SPACE]
      })
      let task: Task | null = null
      let ended = false
      const next = (): void => {
        const hasCounted = counts && this.runs >= this.#countedRuns
        task = hasCounted ? null : this.#take()
        ended = !hasCounted && task === null
        worker.send(task ?? { depth: 'rules' })
      }
      worker.on('message', (answer: Answer) => {
        if (answer.kind === 'rules') {
          add(this.rules, answer.counts)
          if (counts && this.#missingRules().length > 0) {
            this.#countedRuns = this.runs + ALL_SEEN_FROM_RUNS[this.#o.depth]
          }
          worker.disconnect()
          return
        }
        this.#add(answer)
        next()
      })
      worker.on('error', reject)
      worker.on('exit', code => {
        if (ended) return resolve()
        // Its rules are counted: another one goes on without.
        if (task === null) {
          this.#work().then(resolve, reject)
          return
        }
        const { seed } = task as { seed: number }
        this.failed.push(seed)
        this.#o.print(`seed ${seed}: its process ended with ${code}; ${this.#command(seed)}`)
        this.#work().then(resolve, reject)
      })
      next()
    })
  }

  #command(seed: number): string {
    const { depth, wanted } = this.#o
    return depth === 'core' ? coreCommand(seed, usualCore) : clusterCommand(seed, WHOLE_RUN, wanted)
  }

  #add(answer: Exclude<Answer, { kind: 'rules' }>): void {
    if (answer.kind === 'cluster') {
      this.#addCluster(answer.result)
      return
    }
    this.runs += answer.runs
    this.events += answer.events
    add(this.faults, answer.counts)
    for (const { seed, violation } of answer.failed) this.#fail(seed, [violation])
  }

  #addCluster(result: RunResult): void {
    this.runs += 1
    this.events += result.events
    this.acknowledged += result.acknowledged
    add(this.faults, result.faults)
    const { committedEntries, statesCompared, elections, registerReads } = result
    const { duplicates, trimmed } = result
    add(this.#sums, { committedEntries, statesCompared, elections, registerReads })
    add(this.#sums, { duplicates, trimmed })
    if (result.violations.length > 0) this.#fail(result.seed, result.violations)
  }

  #fail(seed: number, violations: readonly string[]): void {
    this.failed.push(seed)
    this.#o.print(`seed ${seed} FAILED; ${this.#command(seed)} (--minimize makes it short)`)
    for (const violation of violations.slice(0, 3)) this.#o.print(`  ${violation.slice(0, 600)}`)
  }

  #line(): string {
    const seconds = Math.max(0.001, (Date.now() - this.#startedMs) / 1000)
    const sent = this.#o.depth === 'cluster' ? `, ${this.acknowledged} messages acknowledged` : ''
    return (
      `${this.runs} seeds, ${this.failed.length} failed, ${(this.runs / seconds).toFixed(2)} seeds/s, ` +
      `${Math.round(this.events / seconds)} events/s${sent}`
    )
  }
}

function add(sums: Map<string, number>, counts: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(counts)) {
    sums.set(name, (sums.get(name) ?? 0) + count)
  }
}

function counted(counts: ReadonlyMap<string, number>): string {
  return [...counts]
    .sort()
    .map(([name, count]) => `${name} ${count}`)
    .join(', ')
}
