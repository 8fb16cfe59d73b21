import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import { Bus } from './bus.ts'
import { type Episode, runEpisode } from './episode.ts'
import { sharedNowMs } from './events.ts'
import type { Fault } from './fault.ts'
import { writeReport } from './report.ts'
import { Seeded } from './seeded.ts'
import { StatusLine } from './statusLine.ts'
import { summaryLines } from './summary.ts'
import { writeTap } from './tap.ts'

const exec = promisify(execFile)

const NATS_PORT = 4222
const MINUTE_MS = 60_000
/** Pauses between sends: so many that the load is one of clients, not of a benchmark. */
const PACE = { laneMs: 10, looseMs: 5 }

/** Three times an election's usual length at least. */
const WATCH_MS = { ledgermq: 6000, rocketmq: 20_000 } as const

export interface ChaosOptions {
  seed: number
  minutes: number
  directory: string
  system: 'ledgermq' | 'rocketmq'
  flush: string
  faults: readonly Fault[]
  /** After so many a new cluster is made: histories and disks stay small, and what broke is found soon. */
  episodeFaults: number
  /** Of our broker's log. */
  segmentBytes: number
  /** Each fault once, and then it is over. */
  once: boolean
  /** The minutes end the run; else it ends with its last fault. */
  limited: boolean
  tapFile: string | null
}

/** Resolves to the exit status. */
export async function runChaos(options: ChaosOptions): Promise<number> {
  const { seed, minutes, directory, system, flush } = options
  const url = `nats://127.0.0.1:${NATS_PORT}`
  await exec('ip', ['link', 'set', 'lo', 'up'])
  const children = [
    startChild(process.env['NATS_SERVER'] ?? 'nats-server', [
      '-a',
      '127.0.0.1',
      '-p',
      `${NATS_PORT}`
    ]),
    ...[
      ['agent', url, directory, system, flush, String(options.segmentBytes)],
      ['load', url],
      ['collector', url]
    ].map(([program = '', ...args]) =>
      startChild(process.execPath, [
        '--enable-source-maps',
        join(import.meta.dirname, `${program}.js`),
        ...args
      ])
    )
  ]
  const broken = Promise.race(children.map(failure))
  const bus = await Bus.open(url)
  const status = new StatusLine()
  const endMs = options.limited ? sharedNowMs() + minutes * MINUTE_MS : Number.POSITIVE_INFINITY
  const bag = new Bag(options.faults, new Seeded(seed), options.once)
  const episodes: Episode[] = []
  console.log(`${system}, ${flush}, seed ${seed}, ${minutes} minutes; kept in ${directory}`)
  let ended: string | null = null
  try {
    for (let number = 1; sharedNowMs() < endMs && !bag.isEmpty; number += 1) {
      let faults = 0
      const running = runEpisode(bus, {
        number,
        random: new Seeded(seed * 1000 + number),
        pace: PACE,
        watchMs: WATCH_MS[system],
        smallDisks: options.faults.some(fault => fault.name.startsWith('disk-full')),
        membership: system === 'ledgermq',
        historyFile: join(directory, `history-${number}.ndjson`),
        next: () => {
          faults += 1
          return faults > options.episodeFaults || sharedNowMs() > endMs ? null : bag.take()
        },
        tell: what => status.tell(`episode ${number}: ${what}`),
        watch: scene => status.watch(() => scene.counts())
      })
      const episode = await Promise.race([running, broken])
      status.watch(null)
      episodes.push(episode)
      for (const text of wrongIn(episode)) status.tell(`VIOLATION ${text}`)
    }
  } catch (error) {
    ended = `the run ended early: ${(error as Error).message}`
  }
  status.end()
  for (const line of summaryLines(episodes)) console.log(line)
  await writeReport(join(directory, 'report.html'), episodes, options)
  if (options.tapFile !== null) await writeTap(options.tapFile, episodes, seed, ended)
  const wrong = episodes.flatMap(wrongIn)
  if (ended !== null) wrong.push(ended)
  for (const text of wrong) console.log(`VIOLATION ${text}`)
  console.log(wrong.length === 0 ? 'Everything holds.' : `${wrong.length} things do not hold.`)
  await bus.close()
  for (const child of children) child.kill()
  return wrong.length === 0 ? 0 : 1
}

function wrongIn({ judgement, complaints }: Episode): string[] {
  return [...judgement.findings.violations, ...complaints]
}

/** Every fault once in an order of the seed's, then, unless that is all, again in another. */
class Bag {
  readonly #all: readonly Fault[]
  readonly #random: Seeded
  readonly #once: boolean
  #left: Fault[]

  constructor(all: readonly Fault[], random: Seeded, once: boolean) {
    this.#all = all
    this.#random = random
    this.#once = once
    this.#left = random.shuffled(all)
  }

  get isEmpty(): boolean {
    return this.#once && this.#left.length === 0
  }

  take(): Fault | null {
    if (this.#left.length === 0 && !this.#once) this.#left = this.#random.shuffled(this.#all)
    return this.#left.pop() ?? null
  }
}

function startChild(program: string, args: readonly string[]): ChildProcess {
  return spawn(program, args, {
    // NATS tells its life on stderr.
    stdio: ['ignore', 'inherit', program === process.execPath ? 'inherit' : 'ignore']
  })
}

/** Rejects when a helper ends before the run does. */
function failure(child: ChildProcess): Promise<never> {
  return new Promise((_, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      reject(new Error(`${child.spawnargs.slice(-4).join(' ')} ended (${code ?? signal})`))
    })
  })
}
