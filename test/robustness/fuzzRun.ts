import { freePorts } from '../helpers/freePorts.ts'
import { type Findings, NoiseAttacker, RequestAttacker } from './attackers.ts'
import { Dice } from './dice.ts'
import { FrameMaker } from './frames.ts'
import { type HealthReport, HealthyClient, pause } from './healthyClient.ts'
import { VictimProcess, type VictimReport } from './victimProcess.ts'

/** What the fuzzer makes stays: topics, groups and their offsets. With these limits it soon makes no more. */
const LIMITS = { maxTopics: '1500', maxGroups: '1500', maxSubscriptionsPerGroup: '200' }
/** Names of which some come to exist. */
const NAMES = ['fuzzed-0', 'fuzzed-1', 'fuzzed-2', '%RETRY%fuzzed-1', '%DLQ%fuzzed-2', 'Bench8']

export interface FuzzOptions {
  /** Infinity: until `stop` is called. */
  seconds: number
  seed: number
  /** Brokers of the group, 1 or 3. One has no port for other members to attack. */
  members: number
  directory: string
  /** Told now and then how it goes. */
  progress?: (text: string) => void
}

export interface FuzzReport {
  findings: Findings
  health: HealthReport
  /** When a third of the time was over: by then the victim is warm. */
  warm: VictimReport
  end: VictimReport
  /** How long it took. */
  seconds: number
}

/** Attacks a name server and a broker in another process for a while, with a well-behaved client in between. */
export class FuzzRun {
  readonly #options: FuzzOptions
  #stop: () => void = () => {}

  constructor(options: FuzzOptions) {
    this.#options = options
  }

  stop(): void {
    this.#stop()
  }

  /** Rejects when the victim dies, with what it said last. */
  async run(): Promise<FuzzReport> {
    const { seconds, seed, members, directory } = this.#options
    const raftPorts = await freePorts(members)
    const victim = await VictimProcess.start({
      directory,
      raftPorts,
      broker: LIMITS
    })
    try {
      return await this.#attack(victim, members > 1 ? raftPorts : [], seconds * 1_000, seed)
    } finally {
      await victim.stop()
    }
  }

  async #attack(
    victim: VictimProcess,
    raftPorts: readonly number[],
    runMs: number,
    seed: number
  ): Promise<FuzzReport> {
    const { brokerPorts, nameServerPort } = victim
    const healthy = new HealthyClient(`127.0.0.1:${nameServerPort}`, `healthy-${seed}`)
    await healthy.start()
    const findings: Findings = {
      requests: 0,
      answers: 0,
      codes: new Map(),
      noises: 0,
      complaints: []
    }
    let streams = 0
    const dice = (): Dice => new Dice(seed * 1_000 + streams++)
    const maker = (): FrameMaker => new FrameMaker(dice(), NAMES)
    const attackers = [
      ...[0, 1, 2].map(
        n => new RequestAttacker(brokerPorts[n % brokerPorts.length]!, maker(), findings)
      ),
      new RequestAttacker(nameServerPort, maker(), findings),
      ...[1, 2, 3].map(
        () =>
          new NoiseAttacker(
            [...brokerPorts, nameServerPort, ...raftPorts],
            dice(),
            maker(),
            findings
          )
      )
    ]
    const working = Promise.all(attackers.map(attacker => attacker.run()))
    // It is awaited below; until then a failure must not count as unhandled.
    working.catch(() => {})
    const startMs = performance.now()
    const warm = await this.#wait(runMs, victim, findings)
    for (const attacker of attackers) attacker.stop()
    await working
    const health = await healthy.stop()
    const tookSeconds = (performance.now() - startMs) / 1_000
    return { findings, health, warm, end: await victim.report(), seconds: tookSeconds }
  }

  /** Resolves at the end of the time to what the victim said after a third of it. */
  async #wait(runMs: number, victim: VictimProcess, findings: Findings): Promise<VictimReport> {
    let stopped = false
    this.#stop = () => {
      stopped = true
    }
    const startMs = performance.now()
    const warmMs = Math.min(runMs / 3, 60_000)
    let warm: VictimReport | null = null
    let nextProgressMs = 0
    for (;;) {
      const passedMs = performance.now() - startMs
      if (warm === null && passedMs >= warmMs) warm = await victim.report()
      if (passedMs >= runMs || stopped) return warm ?? (await victim.report())
      if (passedMs >= nextProgressMs) {
        nextProgressMs += 10_000
        const { rssBytes, heapBytes, lines, longestStallMs } = await victim.report()
        this.#options.progress?.(
          `${Math.round(passedMs / 1_000)} s: ${findings.requests} requests, ${findings.answers} answers, ${findings.noises} noises, ` +
            `${findings.complaints.length} complaints, rss ${mib(rssBytes)}, heap ${mib(heapBytes)}, stall ${Math.round(longestStallMs)} ms, ` +
            `lines info ${lines.info} warn ${lines.warn} error ${lines.error}`
        )
      }
      await pause(100)
    }
  }
}

export function mib(bytes: number): string {
  return `${Math.round(bytes / 1_048_576)} MiB`
}
