import type { Clock, Disk, Platform, Timer } from '../../src/platform/index.ts'
import { MemoryDisk, type Unsynced } from '../helpers/memoryDisk.ts'
import { spoiltBlocks } from '../helpers/spoiltBlocks.ts'
import type { Dice } from './dice.ts'
import type { Owner, Scheduler, SimEvent } from './scheduler.ts'
import { StateDisk } from './stateDisk.ts'

/** Shorter timers do not exist in Node.js. */
const TIMER_MIN_MS = 1
/** Far from any threshold: a full disk comes as a surprise, and nothing is deleted to make room. */
const SHOWN_DISK_BYTES = 1024 ** 4
const WALL_START_MS = 1_760_000_000_000

export interface MachineSettings {
  /** Its clocks run this much faster than time. */
  readonly clockRate: number
  /** Ordinary time of a disk operation, ms. */
  readonly diskMs: number
  readonly syncMs: number
}

/** One computer: an address, a disk, clocks, and at most one process. */
export class Machine {
  readonly name: string
  readonly ip: string
  readonly disk: MemoryDisk
  readonly state: StateDisk
  readonly settings: MachineSettings
  readonly scheduler: Scheduler
  readonly dice: Dice
  powered = true
  /** Changes with each power loss: connections of before are unknown to it. */
  boot = 1
  wallOffsetMs: number
  process: SimProcess | null = null
  /** Disk operations take this much longer. */
  diskSlowness = 1
  /** Until then no disk operation ends. */
  diskStalledUntilMs = 0
  #bootedMs = 0
  #processes = 0

  constructor(
    name: string,
    ip: string,
    scheduler: Scheduler,
    dice: Dice,
    settings: MachineSettings
  ) {
    this.name = name
    this.ip = ip
    this.scheduler = scheduler
    this.dice = dice
    this.settings = settings
    this.wallOffsetMs = WALL_START_MS
    const defer = (callback: () => void): void => {
      scheduler.after(this.#diskDelayMs(settings.diskMs), this.process, 'disk', callback)
    }
    this.disk = new MemoryDisk({ seed: dice.below(2 ** 32), defer, killedAt: 'page' })
    this.disk.shownBytes = SHOWN_DISK_BYTES
    this.disk.hook = ({ kind }) => (kind === 'sync' ? this.#syncDelay() : undefined)
    this.state = new StateDisk(dice.fork('state'), () => this.#write())
  }

  get bootId(): string {
    return `${this.name}-boot-${this.boot}`
  }

  monotonicMs(): number {
    return (this.scheduler.nowMs - this.#bootedMs) * this.settings.clockRate + 1000
  }

  wallMs(): number {
    return Math.floor(this.scheduler.nowMs + this.wallOffsetMs)
  }

  /** A new process; there must be none. */
  spawn(network: (process: SimProcess) => Platform['network']): SimProcess {
    if (this.process !== null) throw new Error(`${this.name} has a process already`)
    this.#processes += 1
    this.process = new SimProcess(this, this.#processes, network)
    return this.process
  }

  /** The process dies as by kill -9. The page cache stays. */
  kill(): void {
    const { process } = this
    if (process === null) return
    process.alive = false
    process.backlog.length = 0
    this.process = null
    this.disk.kill()
    this.state.kill()
    process.died()
  }

  /** Without power nothing answers; what was not synced is kept or lost. */
  powerLoss(unsynced: Unsynced = 'random'): void {
    const { process } = this
    this.powered = false
    if (process !== null) {
      process.alive = false
      process.backlog.length = 0
      this.process = null
    }
    this.disk.powerLoss(unsynced)
    this.state.powerLoss()
  }

  powerOn(): void {
    this.powered = true
    this.boot += 1
    this.#bootedMs = this.scheduler.nowMs
    this.diskStalledUntilMs = 0
  }

  #write(): Promise<void> {
    return new Promise(resolve => {
      const delayMs = this.#diskDelayMs(this.settings.diskMs + this.settings.syncMs)
      this.scheduler.after(delayMs, this.process, 'disk', resolve)
    })
  }

  #syncDelay(): Promise<void> {
    return new Promise(resolve => {
      const delayMs = this.#diskDelayMs(this.settings.syncMs)
      this.scheduler.after(delayMs, this.process, 'disk', resolve)
    })
  }

  #diskDelayMs(usualMs: number): number {
    const ms = usualMs * this.dice.between(0.5, 2) * this.diskSlowness
    return Math.max(ms, this.diskStalledUntilMs - this.scheduler.nowMs)
  }
}

/** One run of a program. What it holds of the platform works until it dies. */
export class SimProcess implements Owner {
  readonly name: string
  readonly machine: Machine
  readonly platform: Platform
  alive = true
  stalledUntilMs = 0
  readonly backlog: SimEvent[] = []
  /** Its connections and ports; set by the network. */
  died: () => void = () => {}

  constructor(
    machine: Machine,
    number: number,
    network: (process: SimProcess) => Platform['network']
  ) {
    this.name = `${machine.name}#${number}`
    this.machine = machine
    const disk: Disk = machine.disk.mount()
    this.platform = {
      clock: new SimClock(this),
      random: machine.dice.fork(this.name),
      blocks: spoiltBlocks(),
      disk,
      network: network(this),
      host: {
        bootId: () => Promise.resolve(machine.bootId),
        memoryBytes: () => 4_294_967_296,
        openFilesMax: () => 2_048
      }
    }
  }
}

class SimClock implements Clock {
  readonly #process: SimProcess
  readonly #machine: Machine
  readonly #scheduler: Scheduler

  constructor(process: SimProcess) {
    this.#process = process
    this.#machine = process.machine
    this.#scheduler = process.machine.scheduler
  }

  wallMs(): number {
    return this.#machine.wallMs()
  }

  monotonicMs(): number {
    return this.#machine.monotonicMs()
  }

  after(delayMs: number, callback: () => void): Timer {
    const event = this.#add(delayMs, callback)
    return {
      cancel: () => {
        event.run = null
      }
    }
  }

  every(periodMs: number, callback: () => void): Timer {
    let event: SimEvent
    const again = (): void => {
      event = this.#add(periodMs, again)
      callback()
    }
    event = this.#add(periodMs, again)
    return {
      cancel: () => {
        event.run = null
      }
    }
  }

  turnEnd(callback: () => void): void {
    this.#scheduler.after(this.#machine.dice.between(0.01, 0.1), this.#process, 'turn', callback)
  }

  #add(delayMs: number, callback: () => void): SimEvent {
    const ms = Math.max(TIMER_MIN_MS, delayMs) / this.#machine.settings.clockRate
    return this.#scheduler.after(ms, this.#process, 'timer', callback)
  }
}
