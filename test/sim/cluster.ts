import { type Broker, LiveConfig, openBroker } from '../../src/broker/index.ts'
import { NameServer, NamesrvConfig } from '../../src/namesrv/index.ts'
import { openRaft } from '../../src/raft/index.ts'
import { Archive } from './archive.ts'
import type { Dice } from './dice.ts'
import { Judge } from './judge.ts'
import { Machine, type SimProcess } from './machine.ts'
import { SimNetwork } from './network.ts'
import type { Plan } from './plan.ts'
import { Scheduler } from './scheduler.ts'
import { LogBook } from './simLogger.ts'

export const CLUSTER = 'C'
const NAME_SERVER_PORT = 9876
export const BROKER_PORT = 10911
const RAFT_PORT = 40911
const STORE = '/store'
const FOUNDERS = 3
/** A process that ended is started again after so long, unless a fault says otherwise. */
const SUPERVISOR_MS = 500

/** Machines, wires and the programs on them. */
export class SimCluster {
  readonly plan: Plan
  readonly scheduler = new Scheduler()
  readonly network: SimNetwork
  readonly judge: Judge
  /** null: nothing goes from the log. */
  readonly archive: Archive | null
  readonly log: LogBook
  /** All that were ever started as members of the group. */
  readonly brokers: Machine[]
  /** Not in the group yet. */
  readonly spares: Machine[]
  readonly nameServers: Machine[]
  readonly clients: Machine[]
  readonly violations: string[] = []
  /** Why processes ended by themselves. */
  readonly fatals: string[] = []
  /** Whose disk was harmed; no other process may end by itself. */
  readonly mayEnd = new Set<Machine>()
  readonly running = new Map<Machine, Broker>()
  /** Machines that are to stay off for now. */
  readonly heldOff = new Set<Machine>()
  readonly #dice: Dice

  constructor(plan: Plan, dice: Dice) {
    const { scheduler } = this
    this.plan = plan
    this.#dice = dice
    this.log = new LogBook(() => scheduler.nowMs)
    this.network = new SimNetwork(scheduler, dice.fork('network'), {
      latencyMs: plan.latencyMs,
      windowBytes: plan.windowBytes,
      violation: text => this.violation(text)
    })
    const machine = (name: string, ip: string): Machine => {
      const settings = {
        clockRate: plan.clockDrift ? dice.between(0.95, 1.05) : 1,
        diskMs: plan.diskMs,
        syncMs: plan.syncMs
      }
      const made = new Machine(name, ip, scheduler, dice.fork(name), settings)
      this.network.add(made)
      return made
    }
    this.brokers = [0, 1, 2].map(i => machine(`n${i}`, `10.0.0.${10 + i}`))
    this.nameServers = [0, 1].map(i => machine(`ns${i}`, `10.0.0.${20 + i}`))
    this.clients = [0, 1].map(i => machine(`c${i}`, `10.0.0.${30 + i}`))
    this.archive = plan.reservedMs === null ? null : new Archive()
    this.spares = plan.faults.has('members')
      ? [3, 4].map(i => machine(`n${i}`, `10.0.0.${10 + i}`))
      : []
    this.judge = new Judge({
      archive: this.archive,
      syncFlush: plan.syncFlush,
      membersChange: plan.faults.has('members'),
      segmentBytes: plan.segmentBytes,
      logDirectory: `${STORE}/raft/data`,
      nowMs: () => scheduler.nowMs,
      violation: text => this.violation(text)
    })
    for (const broker of this.brokers) this.judge.add(broker)
    scheduler.onThrow = (error, owner) => {
      this.violation(`${owner?.name ?? 'the simulator'} threw: ${describe(error)}`)
    }
  }

  get nameServerAddresses(): string {
    return this.nameServers.map(({ ip }) => `${ip}:${NAME_SERVER_PORT}`).join(';')
  }

  violation(text: string): void {
    this.violations.push(`at ${this.scheduler.nowMs.toFixed(3)} ms: ${text}`)
    this.log.add('VIOLATION', 'judge', text)
    this.scheduler.stop()
  }

  spawnClient(at: number): SimProcess {
    return this.clients[at]!.spawn(process => this.network.of(process))
  }

  start(machine: Machine): void {
    if (machine.process !== null) return
    this.heldOff.delete(machine)
    if (!machine.powered) {
      machine.powerOn()
      this.network.powerReturned()
    }
    const process = machine.spawn(owner => this.network.of(owner))
    const started = this.nameServers.includes(machine)
      ? this.#startNameServer(process)
      : this.#startBroker(process)
    started.catch((error: unknown) => this.#ended(process, `did not start: ${describe(error)}`))
  }

  /** A machine that asks to become a member. */
  join(spare: Machine): void {
    this.spares.splice(this.spares.indexOf(spare), 1)
    this.brokers.push(spare)
    this.judge.add(spare)
    this.start(spare)
  }

  startAll(): void {
    for (const machine of [...this.nameServers, ...this.brokers]) this.start(machine)
  }

  /** Kill -9. */
  kill(machine: Machine): void {
    if (this.brokers.includes(machine)) this.judge.closing(machine)
    machine.kill()
    this.#gone(machine)
  }

  powerLoss(machine: Machine): void {
    if (this.brokers.includes(machine)) this.judge.closing(machine, !this.plan.syncFlush)
    this.network.powerLost(machine)
    machine.powerLoss()
    this.#gone(machine)
  }

  /** Orderly; the process is gone when it resolves. */
  async stopInOrder(machine: Machine): Promise<void> {
    const { process } = machine
    const broker = this.running.get(machine)
    if (process === null || broker === undefined) return
    this.running.delete(machine)
    try {
      await broker.stop()
    } catch (error) {
      if (process.alive)
        this.violation(`${process.name} does not stop in order: ${describe(error)}`)
    }
    if (process.alive) this.kill(machine)
  }

  /** What it is at this moment, for the record of faults. */
  roleOf(machine: Machine): string {
    if (!this.brokers.includes(machine)) return machine.process === null ? 'down' : 'up'
    if (machine.process === null) return 'down'
    const status = this.running.get(machine)?.store.status()
    if (status === undefined) return 'starting'
    return status.trouble ?? status.role
  }

  leader(): Machine | null {
    let found: Machine | null = null
    let term = -1
    for (const [machine, broker] of this.running) {
      const status = broker.store.status()
      if (status.ready && status.term > term) {
        found = machine
        term = status.term
      }
    }
    return found
  }

  #gone(machine: Machine): void {
    this.running.delete(machine)
    if (this.brokers.includes(machine)) this.judge.closed(machine)
  }

  async #startNameServer(process: SimProcess): Promise<void> {
    const entries = new Map([
      ['listenPort', String(NAME_SERVER_PORT)],
      ['kvConfigPath', '/ns/kvConfig.json']
    ])
    const home = { userHome: '/ns', rocketmqHome: '/ns', configFile: '/ns/namesrv.conf' }
    const config = NamesrvConfig.parse(entries, home)
    const server = new NameServer(config, process.platform, this.#logger(process))
    await server.start()
  }

  async #startBroker(process: SimProcess): Promise<void> {
    const { machine, platform } = process
    const { plan } = this
    const isFounder = this.brokers.indexOf(machine) < FOUNDERS
    const known = isFounder ? this.brokers.slice(0, FOUNDERS) : this.brokers
    const peers = known.map(({ name, ip }) => `${name}-${ip}:${RAFT_PORT}`).join(';')
    const entries = Object.entries({
      brokerClusterName: CLUSTER,
      brokerName: 'b',
      brokerIP1: machine.ip,
      listenPort: String(BROKER_PORT),
      namesrvAddr: this.nameServerAddresses,
      enableDLegerCommitLog: 'true',
      dLegerGroup: 'g',
      dLegerPeers: peers,
      dLegerSelfId: machine.name,
      storePathRootDir: STORE,
      mappedFileSizeCommitLog: String(plan.segmentBytes),
      mappedFileSizeConsumeQueue: String(plan.queueFileBytes),
      flushDiskType: plan.syncFlush ? 'SYNC_FLUSH' : 'ASYNC_FLUSH',
      flushIntervalCommitLog: String(plan.flushIntervalMs),
      transactionTimeOut: '1000',
      transactionCheckInterval: '2000',
      transactionCheckMax: '1000',
      shutdownGraceSeconds: '2',
      recallMessageEnable: 'true',
      // Half a day from the time at which a run begins: the log is trimmed when a fault says so.
      deleteWhen: '20'
    })
    const config = new LiveConfig(entries, {}, platform)
    const broker = await openBroker(config, platform, this.#logger(process), {
      ...(plan.raftTimings === null ? {} : { raftTimings: plan.raftTimings }),
      ...(plan.reservedMs === null ? {} : { fileReservedMs: plan.reservedMs }),
      onFatal: reason => this.#ended(process, reason),
      doors: {
        openState: directory => machine.state.open(directory),
        openNode: async (options, source, store) => {
          // Less than may be configured: what is applied is soon read from the disk, and its memory used again.
          const small = { ...options, tailCacheBytes: plan.segmentBytes / 8 }
          const node = await openRaft(small, source, this.judge.watched(machine, store))
          if (process.alive) this.judge.opened(machine, node)
          return node
        }
      }
    })
    await broker.start()
    if (process.alive) this.running.set(machine, broker)
  }

  #logger(process: SimProcess): ReturnType<LogBook['of']> {
    return this.log.of(process.name, () => !process.alive)
  }

  /** As a supervisor does: the process is gone, and started again. */
  #ended(process: SimProcess, reason: string): void {
    if (!process.alive) return
    const { machine } = process
    this.fatals.push(`${process.name}: ${reason}`)
    this.log.add('ENDED', process.name, reason)
    if (!this.mayEnd.has(machine)) this.violation(`${process.name} ended by itself: ${reason}`)
    this.scheduler.after(0, null, 'sim', () => {
      if (!process.alive) return
      this.kill(machine)
      this.scheduler.after(SUPERVISOR_MS + this.#dice.below(500), null, 'sim', () => {
        if (!this.heldOff.has(machine)) this.start(machine)
      })
    })
  }
}

export function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
