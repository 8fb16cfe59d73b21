import type { ReceivedMessage } from '../../src/client/index.ts'
import { decodeStoredMessage, popRetryTopic } from '../../src/protocol/index.ts'
import type { Store } from '../../src/store/index.ts'
import { type Archived, archived } from './archive.ts'
import {
  checkMessages,
  checkQueues,
  checkRegisters,
  checkTransactions,
  type Losses,
  missingTransactions
} from './clientChecks.ts'
import type { SimCluster } from './cluster.ts'
import type { Faults } from './faults.ts'
import { stateText } from './judge.ts'
import type { Machine } from './machine.ts'
import type { FaultKind } from './plan.ts'
import { POP_GROUP, POP_TOPIC, type PopClients } from './pops.ts'
import type { Steps } from './steps.ts'
import { TIMED_TOPIC, type TimedClient, type Waited } from './timers.ts'
import {
  DELAYED_TOPIC,
  nameOf,
  SHARED_RETRY_TOPIC,
  TOPIC,
  TRANSACTION_TOPIC,
  type Workload
} from './workload.ts'

const SCHEDULE_TOPIC = 'SCHEDULE_TOPIC_XXXX'
const TIMER_TOPIC = 'rmq_sys_wheel_timer'
const HALF_TOPIC = 'RMQ_SYS_TRANS_HALF_TOPIC'
const OVERTAKING: readonly FaultKind[] = [
  'isolate',
  'split',
  'oneWay',
  'flap',
  'slowLink',
  'stall',
  'stallClient'
]
/** Virtual time for the cluster to come up, and after the faults for each step back to normal. */
const START_MS = 60_000
const CALM_MS = 90_000
/** Longer than any stall and any request. */
const SETTLE_MS = 15_000
const LOOK_MS = 50
/** For two members to become whole, and then to go on without the third; the longest time without an acknowledgement meanwhile. */
const WHOLE_MS = 20_000
const ASIDE_MS = 5_000
const UNACKNOWLEDGED_MS_MAX = 15_000
/** Longer than two flushes of ASYNC_FLUSH, slow ones too. */
const TOPICS_SYNCED_MS = 2_000

/** Clients that only some runs have. */
interface Others {
  readonly pops: PopClients | null
  readonly steps: Steps | null
  readonly timed: TimedClient | null
}

interface Place {
  readonly queueId: number
  readonly queueOffset: number
}

/** What happens in a run, one thing after the other. */
export class Story {
  duplicates = 0
  trimmed = 0
  readonly #cluster: SimCluster
  readonly #faults: Faults
  readonly #workload: Workload
  /** What else was come to. */
  readonly counts = new Map<string, number>()
  readonly #pops: PopClients | null
  readonly #steps: Steps | null
  readonly #timed: TimedClient | null
  readonly #aside: Machine | null

  /** `aside`: who stays down for a while when the faults are over. */
  constructor(
    cluster: SimCluster,
    faults: Faults,
    workload: Workload,
    others: Others,
    aside: Machine | null
  ) {
    this.#aside = aside
    this.#cluster = cluster
    this.#faults = faults
    this.#workload = workload
    this.#pops = others.pops
    this.#steps = others.steps
    this.#timed = others.timed
  }

  async tell(): Promise<void> {
    const cluster = this.#cluster
    const workload = this.#workload
    cluster.startAll()
    await this.#within(START_MS, 'the cluster comes up', workload.start())
    if (this.#pops !== null) await this.#within(START_MS, 'POP clients start', this.#pops.start())
    if (this.#timed !== null)
      await this.#within(START_MS, 'the client of timed messages starts', this.#timed.start())
    this.#steps?.start()
    // Topics that a power loss of all takes before they are on any disk would be missed by all clients.
    if (!cluster.plan.syncFlush) await cluster.scheduler.delay(TOPICS_SYNCED_MS)
    this.#faults.start()
    await cluster.scheduler.delay(cluster.plan.faultyMs)
    if (this.#aside !== null) await this.#goOnWithout(this.#aside)
    this.#faults.heal()
    cluster.log.add('CALM', 'faults', 'everything is whole from here on')
    await this.#until('a leader', () => cluster.leader() !== null)
    await this.#within(CALM_MS, 'every call ends', workload.finish())
    if (this.#pops !== null)
      await this.#within(CALM_MS, 'every call of POP ends', this.#pops.finish())
    if (this.#timed !== null)
      await this.#within(CALM_MS, 'every call for timed messages ends', this.#timed.finish())
    if (this.#steps !== null) await this.#within(CALM_MS, 'every commit ends', this.#steps.finish())
    // A request that a client has given up may still be on its way through a member that stood still.
    if (this.#maySleep()) await cluster.scheduler.delay(SETTLE_MS)
    const losses: Losses = { lossesMs: cluster.judge.lossesMs, mayOvertake: this.#mayOvertake() }
    const lossless = losses.lossesMs.length === 0
    const readable = await this.#within(CALM_MS, 'everything can be read', workload.readAll())
    const trimmed = this.#trimmed(TOPIC, readable).map(({ queueId, queueOffset, body }) => ({
      queueId,
      queueOffset,
      body: nameOf(body)
    }))
    const stored = [...trimmed, ...readable]
    this.trimmed = trimmed.length
    if (lossless) {
      const missing = (): string[] => workload.undelivered(readable)
      await this.#until(
        'everything is delivered',
        () => missing().length === 0,
        () =>
          `${missing().slice(0, 5).join(', ')} (${missing().length}); ${workload.describeConsumers()}`
      )
      await this.#until('what was sent back is delivered again', () => {
        for (const { body } of this.#trimmed(SHARED_RETRY_TOPIC)) {
          workload.owedAgain.delete(nameOf(body))
        }
        return workload.owedAgain.size === 0
      })
      await this.#delayed()
      if (this.#pops !== null)
        await this.#within(
          CALM_MS,
          'everything is popped',
          this.#pops.settle(() => this.#gone())
        )
    }
    await this.#pops?.close()
    if (this.#steps !== null)
      await this.#within(CALM_MS, 'the offset can be read', this.#steps.settle())
    if (this.#timed !== null) await this.#timedMessages(this.#timed, lossless)
    await this.#transactions(losses)
    const findings = checkMessages(workload, stored, trimmed, losses)
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
   * One stays down, and nothing else is wrong any more: two whole members go on, whatever they went through. Those that are not
   * whole may have to wait for what only the third has.
   */
  async #goOnWithout(machine: Machine): Promise<void> {
    const { scheduler, brokers, running, log } = this.#cluster
    this.#faults.heal(machine)
    log.add('CALM', 'faults', `everything but ${machine.name} is whole from here on`)
    const others = brokers.filter(other => other !== machine)
    const areWhole = (): boolean =>
      others.every(other => running.get(other)?.store.status().trouble === null)
    const startedMs = scheduler.nowMs
    while (!areWhole()) {
      if (scheduler.nowMs - startedMs > WHOLE_MS) return
      await scheduler.delay(LOOK_MS)
    }
    const { acknowledged, sends } = this.#workload
    if (!sends) return
    const wholeMs = scheduler.nowMs
    let seen = acknowledged.length
    let seenMs = wholeMs
    while (scheduler.nowMs - wholeMs < ASIDE_MS || seenMs === wholeMs) {
      await scheduler.delay(LOOK_MS)
      if (!areWhole()) return
      if (acknowledged.length > seen) {
        seen = acknowledged.length
        seenMs = scheduler.nowMs
      }
      if (scheduler.nowMs - seenMs < UNACKNOWLEDGED_MS_MAX) continue
      this.#cluster.violation(
        `nothing is acknowledged for ${UNACKNOWLEDGED_MS_MAX} ms, and all but ${machine.name} are whole`
      )
      return
    }
    this.counts.set('went on without one', 1)
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
      visible = await this.#everIn(TRANSACTION_TOPIC, () => workload.readTransactions())
      return (
        losses.lossesMs.length > 0 || missingTransactions(workload, new Set(visible)).length === 0
      )
    })
    const halves = await this.#storedFor(TRANSACTION_TOPIC, HALF_TOPIC)
    for (const found of checkTransactions(workload, visible, halves, losses)) {
      this.#cluster.violation(`transaction ${found}`)
    }
  }

  async #timedMessages(timed: TimedClient, lossless: boolean): Promise<void> {
    const waited = await this.#waited(TIMED_TOPIC, TIMER_TOPIC)
    let delivered = new Map<string, number[]>()
    const missing = (): string[] => timed.missing(waited, new Set(delivered.keys()))
    await this.#until(
      'timed messages arrive',
      async () => {
        delivered = new Map()
        const readable = await timed.read()
        for (const { body, storeTimestamp } of [
          ...this.#trimmed(TIMED_TOPIC, readable.map(placeOf)),
          ...readable
        ]) {
          const times = delivered.get(body.toString())
          if (times === undefined) delivered.set(body.toString(), [storeTimestamp])
          else times.push(storeTimestamp)
        }
        return !lossless || missing().length === 0
      },
      () => missing().slice(0, 5).join(', ')
    )
    for (const found of timed.check(waited, delivered, lossless)) {
      this.#cluster.violation(`timed message ${found}`)
    }
    this.counts.set('timed delivered', delivered.size)
    this.counts.set('timed recalled', timed.recalled)
    await timed.close()
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
      const bodies = await this.#everIn(DELAYED_TOPIC, () => this.#workload.readDelayed())
      delivered = counted(bodies)
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

  /**
   * Of a topic, what was applied and has gone from a member's log since, but for what was read: members trim at times of their own, and
   * any of them may have been asked.
   */
  #trimmed(topic: string, readable: readonly Place[] = []): Archived[] {
    const { archive, running } = this.#cluster
    if (archive === null) return []
    const stores = [...running.values()].map(({ store }) => store)
    const minOffset = (queueId: number): number =>
      Math.max(0, ...stores.map(store => store.minOffset(topic, queueId)))
    const wasRead = new Set(readable.map(keyOf))
    return archive.messages.filter(
      m => m.topic === topic && m.queueOffset < minOffset(m.queueId) && !wasRead.has(keyOf(m))
    )
  }

  /** Bodies of what POP clients will not get any more. */
  #gone(): Set<string> {
    const retry = popRetryTopic(POP_TOPIC, POP_GROUP, false)
    const all = [...this.#trimmed(POP_TOPIC), ...this.#trimmed(retry)]
    return new Set(all.map(({ body }) => body.toString()))
  }

  /** Bodies of all that was ever stored in a topic. */
  async #everIn(topic: string, read: () => Promise<ReceivedMessage[]>): Promise<string[]> {
    const readable = await read()
    return [...this.#trimmed(topic, readable.map(placeOf)), ...readable].map(({ body }) =>
      body.toString()
    )
  }

  /** Bodies that lie in one of the broker's own topics on behalf of `topic`, each as often as it was stored. */
  async #storedFor(topic: string, within: string): Promise<Map<string, number>> {
    return counted((await this.#waited(topic, within)).map(({ body }) => body))
  }

  async #waited(topic: string, within: string): Promise<Waited[]> {
    const { archive } = this.#cluster
    const isMeant = (m: Archived): boolean => m.topic === within && m.realTopic === topic
    if (archive !== null) return archive.messages.filter(isMeant).map(asWaited)
    const { store } = this.#cluster.running.get(this.#cluster.leader()!)!
    const all: Waited[] = []
    for (const queueId of store.queueIds(within)) {
      for (let at = 0; at < store.maxOffset(within, queueId); at++) {
        const unit = await this.#undamaged(() => store.unit(within, queueId, at))
        const bytes = unit === null ? null : await store.messageAt(unit.physicalOffset)
        if (bytes === null) continue
        const message = archived(decodeStoredMessage(bytes))
        // Messages that a consumer sent back wait here too.
        if (isMeant(message)) all.push(asWaited(message))
      }
    }
    return all
  }

  #equal(): boolean {
    const { judge } = this.#cluster
    const stores = this.#memberStores()
    if (stores === null) return false
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

  /** Of all that belong to the group; null: one of them is not up. */
  #memberStores(): Store[] | null {
    const { running, brokers } = this.#cluster
    const leader = this.#cluster.leader()
    if (leader === null) return null
    const { members } = running.get(leader)!.store.status()
    const stores: Store[] = []
    for (const id of new Set(members.map(member => member.id))) {
      const store = running.get(brokers.find(({ name }) => name === id)!)?.store
      if (store === undefined) return null
      stores.push(store)
    }
    return stores
  }

  async #compareUnits(): Promise<void> {
    const stores = this.#memberStores() ?? []
    const first = stores[0]!
    for (const topic of first.topicsWithQueues()) {
      for (const queueId of first.queueIds(topic)) {
        // One that got a snapshot begins where its log does.
        const from = Math.max(...stores.map(store => store.minOffset(topic, queueId)))
        const lists = await Promise.all(
          stores.map(async store => {
            const count = first.maxOffset(topic, queueId) - from
            const all: unknown[] = []
            while (all.length < count) {
              const units = await this.#undamaged(() =>
                store.units(topic, queueId, from + all.length, count - all.length)
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

function placeOf({ queue: { queueId }, queueOffset }: ReceivedMessage): Place {
  return { queueId, queueOffset }
}

function keyOf({ queueId, queueOffset }: Place): string {
  return `${queueId}@${queueOffset}`
}

function asWaited({ body, dueMs }: Archived): Waited {
  return { body: body.toString(), dueMs }
}

function counted(bodies: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const body of bodies) counts.set(body, (counts.get(body) ?? 0) + 1)
  return counts
}
