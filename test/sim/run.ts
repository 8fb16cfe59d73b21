import { decodeStoredMessage } from '../../src/protocol/index.ts'
import {
  checkMessages,
  checkQueues,
  checkRegisters,
  checkTransactions,
  type Losses,
  missingTransactions
} from './clientChecks.ts'
import { describe, SimCluster } from './cluster.ts'
import { Dice } from './dice.ts'
import { Faults } from './faults.ts'
import { guardGlobals } from './guard.ts'
import { stateText } from './judge.ts'
import {
  describePlan,
  drawPlan,
  type FaultKind,
  NOTHING_WANTED,
  type Plan,
  type Wanted
} from './plan.ts'
import { PopClients } from './pops.ts'
import { DELAYED_TOPIC, TRANSACTION_TOPIC, Workload } from './workload.ts'

/** Virtual time for the cluster to come up, and after the faults for each step back to normal. */
const SCHEDULE_TOPIC = 'SCHEDULE_TOPIC_XXXX'
const OVERTAKING: readonly FaultKind[] = [
  'isolate',
  'split',
  'oneWay',
  'flap',
  'slowLink',
  'stall',
  'stallClient'
]
const HALF_TOPIC = 'RMQ_SYS_TRANS_HALF_TOPIC'
const START_MS = 60_000
const CALM_MS = 90_000
/** Longer than any stall and any request. */
const SETTLE_MS = 15_000
const LOOK_EVERY_EVENTS = 20
const LOOK_MS = 50
/** Runs in which clients consume by POP too. */
const POP_SHARE = 0.4

export interface RunResult {
  readonly seed: number
  readonly plan: string
  readonly violations: readonly string[]
  readonly traceHash: string
  readonly events: number
  readonly virtualMs: number
  readonly faults: Readonly<Record<string, number>>
  /** Ids of the faults, in their order. */
  readonly happened: readonly string[]
  readonly lanes: readonly string[]
  readonly faultyMs: number
  readonly acknowledged: number
  readonly delivered: number
  readonly duplicates: number
  readonly committedEntries: number
  readonly statesCompared: number
  readonly elections: number
  readonly registerReads: number
  readonly fatals: readonly string[]
  /** The last lines of all processes' logs. */
  readonly lines: readonly string[]
}

/** What is left out of a run; the rest stays what it is. */
export interface RunCut {
  /** Faults end so soon, ms. */
  readonly untilMs: number | null
  readonly faults: ReadonlySet<string> | null
  readonly lanes: ReadonlySet<string> | null
}

export const WHOLE_RUN: RunCut = { untilMs: null, faults: null, lanes: null }

/** One whole life of a cluster, decided by the seed alone. `change` alters the plan, for tests. */
export async function runSeed(
  seed: number,
  change: (plan: Plan) => Plan = p => p,
  cut: RunCut = WHOLE_RUN,
  wanted: Wanted = NOTHING_WANTED
): Promise<RunResult> {
  const dice = new Dice(seed)
  const drawn = change(drawPlan(seed, dice.fork('plan'), wanted))
  const plan = { ...drawn, faultyMs: Math.min(drawn.faultyMs, cut.untilMs ?? drawn.faultyMs) }
  const cluster = new SimCluster(plan, dice.fork('cluster'))
  const faults = new Faults(cluster, dice.fork('faults'), cut.faults)
  const workload = new Workload(cluster, dice.fork('workload'), cut.lanes)
  const popDice = dice.fork('pops')
  const hasPops = popDice.chance(POP_SHARE) && cut.lanes?.has('pops') !== false
  const pops = hasPops ? new PopClients(cluster, popDice, workload.consumerProcess) : null
  const { scheduler, judge } = cluster
  const rejected = (error: unknown): void => {
    cluster.violation(`a rejection that nobody handled: ${describe(error)}`)
  }
  const release = guardGlobals(what => cluster.violation(what))
  process.on('unhandledRejection', rejected)
  let countdown = LOOK_EVERY_EVENTS
  scheduler.afterEvent = () => {
    if (--countdown > 0) return
    countdown = LOOK_EVERY_EVENTS
    judge.look()
  }
  const story = new Story(cluster, faults, workload, pops)
  scheduler.after(0, null, 'sim', () => {
    story.tell().then(
      () => scheduler.stop(),
      (error: unknown) => {
        if (cluster.violations.length === 0) cluster.violation(describe(error))
      }
    )
  })
  try {
    const ended = await scheduler.run(Number.MAX_SAFE_INTEGER)
    if (ended !== 'stopped') cluster.violation(`the run came to nothing: ${ended}`)
  } finally {
    process.off('unhandledRejection', rejected)
    release()
  }
  return {
    seed,
    plan: describePlan(plan),
    violations: cluster.violations,
    traceHash: scheduler.traceHash,
    events: scheduler.events,
    virtualMs: scheduler.nowMs,
    faults: Object.fromEntries(faults.counts),
    happened: faults.happened,
    lanes: hasPops ? [...workload.laneNames, 'pops'] : workload.laneNames,
    faultyMs: plan.faultyMs,
    acknowledged: workload.acknowledged.length,
    delivered: workload.delivered.length,
    duplicates: story.duplicates,
    committedEntries: judge.committedCount,
    statesCompared: judge.statesCompared,
    elections: judge.electionsWon,
    registerReads: workload.registerReads,
    fatals: cluster.fatals,
    lines: cluster.log.lines
  }
}

function counted(bodies: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const body of bodies) counts.set(body, (counts.get(body) ?? 0) + 1)
  return counts
}

/** What happens in a run, one thing after the other. */
class Story {
  duplicates = 0
  readonly #cluster: SimCluster
  readonly #faults: Faults
  readonly #workload: Workload
  readonly #pops: PopClients | null

  constructor(cluster: SimCluster, faults: Faults, workload: Workload, pops: PopClients | null) {
    this.#cluster = cluster
    this.#faults = faults
    this.#workload = workload
    this.#pops = pops
  }

  async tell(): Promise<void> {
    const cluster = this.#cluster
    const workload = this.#workload
    cluster.startAll()
    await this.#within(START_MS, 'the cluster comes up', workload.start())
    if (this.#pops !== null) await this.#within(START_MS, 'POP clients start', this.#pops.start())
    this.#faults.start()
    await cluster.scheduler.delay(cluster.plan.faultyMs)
    this.#faults.heal()
    cluster.log.add('CALM', 'faults', 'everything is whole from here on')
    await this.#until('a leader', () => cluster.leader() !== null)
    await this.#within(CALM_MS, 'every call ends', workload.finish())
    if (this.#pops !== null)
      await this.#within(CALM_MS, 'every call of POP ends', this.#pops.finish())
    // A request that a client has given up may still be on its way through a member that stood still.
    if (this.#maySleep()) await cluster.scheduler.delay(SETTLE_MS)
    const losses: Losses = { lossesMs: cluster.judge.lossesMs, mayOvertake: this.#mayOvertake() }
    const lossless = losses.lossesMs.length === 0
    const stored = await this.#within(CALM_MS, 'everything can be read', workload.readAll())
    if (lossless) {
      const missing = (): string[] => workload.undelivered(stored)
      await this.#until(
        'everything is delivered',
        () => missing().length === 0,
        () =>
          `${missing().slice(0, 5).join(', ')} (${missing().length}); ${workload.describeConsumers()}`
      )
      await this.#until(
        'what was sent back is delivered again',
        () => workload.owedAgain.size === 0
      )
      await this.#delayed()
      if (this.#pops !== null)
        await this.#within(CALM_MS, 'everything is popped', this.#pops.settle())
    }
    await this.#pops?.close()
    await this.#transactions(losses)
    const findings = checkMessages(workload, stored, losses)
    this.duplicates = findings.duplicates
    const found = [
      ...findings.violations,
      ...checkQueues(workload, stored, losses),
      ...checkRegisters(workload, losses)
    ]
    for (const violation of found) cluster.violation(violation)
    await this.#until('all members are equal', () => this.#equal())
    await this.#compareUnits()
  }

  /**
   * A consumer's one-way commit that hangs in a cut or slow connection may arrive behind a later one that took another
   * way, and may go back by the protocol. Those that are answered are checked in every run (the register).
   */
  #mayOvertake(): boolean {
    const { faults } = this.#cluster.plan
    return OVERTAKING.some(kind => faults.has(kind))
  }

  /** Something stood still, or was cut off, for longer than a request waits. */
  #maySleep(): boolean {
    const { faults } = this.#cluster.plan
    return OVERTAKING.some(kind => faults.has(kind)) || faults.has('diskStall')
  }

  /** Brokers ask about those without an end; then each is there or not, for good. */
  async #transactions(losses: Losses): Promise<void> {
    const workload = this.#workload
    if (workload.transactions.size === 0) return
    let visible: string[] = []
    await this.#until('committed transactions arrive', async () => {
      visible = await workload.readTransactions()
      return (
        losses.lossesMs.length > 0 || missingTransactions(workload, new Set(visible)).length === 0
      )
    })
    const halves = await this.#storedFor(TRANSACTION_TOPIC, HALF_TOPIC)
    for (const found of checkTransactions(workload, visible, halves, losses)) {
      this.#cluster.violation(`transaction ${found}`)
    }
  }

  /** Each that waited is delivered, exactly once (a repeated send makes it wait twice). */
  async #delayed(): Promise<void> {
    const { delayedAcknowledged } = this.#workload
    if (delayedAcknowledged.length === 0) return
    const waited = await this.#storedFor(DELAYED_TOPIC, SCHEDULE_TOPIC)
    const missing = delayedAcknowledged.filter(body => !waited.has(body))
    if (missing.length > 0) {
      this.#cluster.violation(`${missing.length} delayed messages are lost: ${missing.slice(0, 5)}`)
    }
    let delivered = new Map<string, number>()
    await this.#until('delayed messages arrive', async () => {
      delivered = counted(await this.#workload.readDelayed())
      return [...waited].every(([body, count]) => (delivered.get(body) ?? 0) >= count)
    })
    for (const [body, count] of delivered) {
      const expected = waited.get(body) ?? 0
      if (count !== expected) {
        this.#cluster.violation(
          `delayed ${body} waited ${expected} times, was delivered ${count} times`
        )
      }
    }
  }

  /** Bodies that lie in one of the broker's own topics on behalf of `topic`, each as often as it was stored. */
  async #storedFor(topic: string, within: string): Promise<Map<string, number>> {
    const { store } = this.#cluster.running.get(this.#cluster.leader()!)!
    const bodies: string[] = []
    for (const queueId of store.queueIds(within)) {
      for (let at = 0; at < store.maxOffset(within, queueId); at++) {
        const unit = await this.#undamaged(() => store.unit(within, queueId, at))
        const bytes = unit === null ? null : await store.messageAt(unit.physicalOffset)
        if (bytes === null) continue
        const { body, properties } = decodeStoredMessage(bytes)
        // Messages that a consumer sent back wait here too.
        if (properties.get('REAL_TOPIC') === topic) bodies.push(body.toString())
      }
    }
    return counted(bodies)
  }

  #equal(): boolean {
    const { running, brokers, judge } = this.#cluster
    const stores = [...running.values()].map(broker => broker.store)
    if (stores.length < brokers.length) return false
    const statuses = stores.map(store => store.status())
    if (statuses.some(status => status.appliedIndex !== judge.committedCount)) return false
    if (statuses.some(status => status.trouble !== null)) return false
    const [first, ...others] = stores.map(stateText)
    for (const [at, other] of others.entries()) {
      if (other !== first) {
        this.#cluster.violation(
          `the state of ${statuses[0]!.selfId} and ${statuses[at + 1]!.selfId} differs: ${first} against ${other}`
        )
      }
    }
    return true
  }

  async #compareUnits(): Promise<void> {
    const stores = [...this.#cluster.running.values()].map(broker => broker.store)
    const first = stores[0]!
    for (const topic of first.topicsWithQueues()) {
      for (const queueId of first.queueIds(topic)) {
        const lists = await Promise.all(
          stores.map(async store => {
            const end = first.maxOffset(topic, queueId)
            const all: unknown[] = []
            while (all.length < end) {
              const units = await this.#undamaged(() =>
                store.units(topic, queueId, all.length, end - all.length)
              )
              if (units.length === 0) break
              all.push(...units)
            }
            return all.map(unit => JSON.stringify(unit))
          })
        )
        for (const [member, list] of lists.entries()) {
          const at = list.findIndex((unit, i) => unit !== lists[0]![i])
          if (at < 0 && list.length === lists[0]!.length) continue
          this.#cluster.violation(
            `the units of ${topic}/${queueId} are not the same everywhere: at ${at} ${list[at]} on member ${member}, else ${lists[0]![at]}; ${list.length} of ${lists[0]!.length}`
          )
        }
      }
    }
  }

  /** What is damaged on a member's disk is put back by itself; the read is tried again until then. */
  async #undamaged<T>(read: () => Promise<T>): Promise<T> {
    let value: { readonly read: T } | null = null
    await this.#until('what was damaged is whole again', async () => {
      value = await read().then(
        found => ({ read: found }),
        () => null
      )
      return value !== null
    })
    return value!.read
  }

  async #until(
    what: string,
    holds: () => boolean | Promise<boolean>,
    lacks: () => string = () => ''
  ): Promise<void> {
    const { scheduler } = this.#cluster
    const deadlineMs = scheduler.nowMs + CALM_MS
    while (!(await holds())) {
      if (scheduler.nowMs > deadlineMs) {
        throw new Error(`in vain for ${CALM_MS} ms: ${what} ${lacks()}`)
      }
      await scheduler.delay(LOOK_MS)
    }
  }

  async #within<T>(ms: number, what: string, run: Promise<T>): Promise<T> {
    const late = new Error(`in vain for ${ms} ms: ${what}`)
    return Promise.race([run, this.#cluster.scheduler.delay(ms).then(() => Promise.reject(late))])
  }
}
