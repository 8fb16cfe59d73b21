import {
  type ConnectOptions,
  fill,
  type Listener,
  type ListenOptions,
  type Network,
  type Reception,
  type Socket
} from '../../src/platform/index.ts'
import type { Dice } from './dice.ts'
import type { Machine, SimProcess } from './machine.ts'
import { Pipe } from './pipe.ts'
import type { Scheduler } from './scheduler.ts'

const FIRST_PORT = 40_000
/** A connection request without an answer is sent again after so long. */
const SYN_RETRY_MS = 1_000

/** One direction between two machines. */
export interface Link {
  blocked: boolean
  /** One way, ms; drawn around it for each packet. */
  latencyMs: number
  bytesPerMs: number
}

export interface NetworkSettings {
  readonly latencyMs: number
  /** What of a connection may be on its way or unread at the other side, bytes. */
  readonly windowBytes: number
  readonly violation: (text: string) => void
}

interface Port {
  readonly process: SimProcess
  readonly resetOnDeath: boolean
  readonly onConnection: (socket: Socket) => void
}

/** All wires: what leaves one machine arrives at another in order, or not at all while the link between them is cut. */
export class SimNetwork {
  readonly scheduler: Scheduler
  readonly dice: Dice
  readonly settings: NetworkSettings
  readonly #machines = new Map<string, Machine>()
  readonly #links = new Map<string, Link>()
  readonly #ports = new Map<string, Port>()
  readonly #pipes = new Set<Pipe>()
  #nextPort = FIRST_PORT

  constructor(scheduler: Scheduler, dice: Dice, settings: NetworkSettings) {
    this.scheduler = scheduler
    this.dice = dice
    this.settings = settings
  }

  add(machine: Machine): void {
    this.#machines.set(machine.ip, machine)
  }

  link(from: string, to: string): Link {
    const key = `${from}>${to}`
    let link = this.#links.get(key)
    if (link === undefined) {
      const latencyMs = from === to ? 0.02 : this.settings.latencyMs * this.dice.between(0.7, 1.5)
      link = { blocked: false, latencyMs, bytesPerMs: 125_000 }
      this.#links.set(key, link)
    }
    return link
  }

  block(from: string, to: string): void {
    if (from !== to) this.link(from, to).blocked = true
  }

  unblock(from: string, to: string): void {
    const link = this.link(from, to)
    if (!link.blocked) return
    link.blocked = false
    for (const pipe of this.#pipes) pipe.linkHealed()
  }

  packetMs(link: Link): number {
    return link.latencyMs * (1 + this.dice.next() ** 4 * 2)
  }

  machine(ip: string): Machine | undefined {
    return this.#machines.get(ip)
  }

  /** What a process sees of it. */
  of(process: SimProcess): Network {
    process.died = () => this.#died(process)
    return {
      listen: (options, onConnection) => this.#listen(process, options, onConnection),
      connect: options => this.#connect(process, options),
      hostAddresses: () => [process.machine.ip, '127.0.0.1']
    }
  }

  isConnected(a: string, b: string): boolean {
    return this.#between(a, b).length > 0
  }

  /** Breaks a random connection between these two, in the middle of whatever is on its way. */
  cut(a: string, b: string): void {
    this.dice.pick(this.#between(a, b)).breakOff()
  }

  #between(a: string, b: string): Pipe[] {
    return [...this.#pipes].filter(({ from, to }) => from.machine.ip === a && to.machine.ip === b)
  }

  /** A machine without power: nobody is told. */
  powerLost(machine: Machine): void {
    for (const [key, port] of this.#ports) {
      if (port.process.machine === machine) this.#ports.delete(key)
    }
    for (const pipe of this.#pipes) if (pipe.from.machine === machine) this.#pipes.delete(pipe)
  }

  /** What was sent to it meanwhile is sent again. */
  powerReturned(): void {
    for (const pipe of this.#pipes) pipe.linkHealed()
  }

  forget(pipe: Pipe): void {
    this.#pipes.delete(pipe)
  }

  get connections(): number {
    return this.#pipes.size / 2
  }

  async #listen(
    process: SimProcess,
    options: ListenOptions,
    onConnection: (socket: Socket) => void
  ): Promise<Listener> {
    const port = options.port === 0 ? this.#nextPort++ : options.port
    const key = `${process.machine.ip}:${port}`
    if (this.#ports.has(key)) {
      throw Object.assign(new Error(`listen EADDRINUSE ${key}`), { code: 'EADDRINUSE' })
    }
    const resetOnDeath = options.resetOnDeath === true
    const entry: Port = { process, resetOnDeath, onConnection }
    this.#ports.set(key, entry)
    await this.#pause(process)
    return {
      port,
      close: async () => {
        if (this.#ports.get(key) === entry) this.#ports.delete(key)
        await this.#pause(process)
      }
    }
  }

  #pause(process: SimProcess): Promise<void> {
    return new Promise(resolve => {
      this.scheduler.after(0.01, process, 'net', resolve)
    })
  }

  #connect(process: SimProcess, options: ConnectOptions): Socket {
    const from = process.machine
    const host =
      options.host === '127.0.0.1' || options.host === 'localhost' ? from.ip : options.host
    const client = new SimSocket(this, process, from.ip, this.#nextPort++)
    client.remoteAddress = host
    client.remotePort = options.port
    const timeout = this.scheduler.after(options.timeoutMs, process, 'timer', () => {
      const error = new Error(`no connection to ${host}:${options.port}`)
      client.destroy(Object.assign(error, { code: 'ETIMEDOUT' }))
    })
    client.connecting = timeout
    this.#sendSyn(client, host, options.port)
    return client
  }

  #sendSyn(client: SimSocket, host: string, port: number): void {
    const there = this.link(client.machine.ip, host)
    this.scheduler.after(this.packetMs(there), null, 'net', () => {
      if (client.isOver) return
      const back = this.link(host, client.machine.ip)
      const target = this.#machines.get(host)
      const lost = there.blocked || target?.powered !== true || back.blocked
      if (lost) {
        this.scheduler.after(SYN_RETRY_MS, null, 'net', () => this.#sendSyn(client, host, port))
        return
      }
      const listener = this.#ports.get(`${host}:${port}`)
      this.scheduler.after(this.packetMs(back), null, 'net', () => {
        if (client.isOver) return
        if (listener === undefined) client.refused()
        else this.#establish(client, listener, host, port)
      })
    })
  }

  #establish(client: SimSocket, listener: Port, host: string, port: number): void {
    if (this.#ports.get(`${host}:${port}`) !== listener) {
      client.refused()
      return
    }
    const server = new SimSocket(this, listener.process, host, port)
    server.remoteAddress = client.machine.ip
    server.remotePort = client.localPort
    server.resetOnDeath = listener.resetOnDeath
    client.resetOnDeath = false
    const up = new Pipe(this, client, server)
    const down = new Pipe(this, server, client)
    this.#pipes.add(up)
    this.#pipes.add(down)
    client.established(up, down)
    server.accepted(down, up)
    client.app(() => client.connected())
    this.scheduler.after(this.packetMs(this.link(client.machine.ip, host)), null, 'net', () => {
      server.app(() => {
        listener.onConnection(server)
        server.opened()
      })
    })
  }

  #died(process: SimProcess): void {
    for (const [key, port] of this.#ports) if (port.process === process) this.#ports.delete(key)
    for (const pipe of [...this.#pipes]) {
      if (pipe.from.process === process) pipe.from.processDied()
    }
  }
}

/** One end of a connection. */
export class SimSocket implements Socket {
  remoteAddress = ''
  remotePort = 0
  readonly localAddress: string
  readonly localPort: number
  readonly process: SimProcess
  readonly machine: Machine
  readonly boot: number
  resetOnDeath = false
  connecting: { run: (() => void) | null } | null = null
  /** Nothing is called any more; the system answers with a reset. */
  isOver = false
  readonly #network: SimNetwork
  #out: Pipe | null = null
  #in: Pipe | null = null
  #onConnect: () => void = () => {}
  #reception: Reception | null = null
  #onDrain: () => void = () => {}
  #onClose: (error: Error | null) => void = () => {}
  #early: Buffer[] = []
  #ending = false
  #closing = false
  #error: Error | null = null
  #paused = false
  /** The server's program has set its callbacks. */
  #open = false
  #wantsDrain = false

  constructor(network: SimNetwork, process: SimProcess, address: string, port: number) {
    this.#network = network
    this.process = process
    this.machine = process.machine
    this.boot = process.machine.boot
    this.localAddress = address
    this.localPort = port
  }

  get bufferedBytes(): number {
    let bytes = this.#out?.waitingBytes ?? 0
    for (const buffer of this.#early) bytes += buffer.length
    return bytes
  }

  onConnect(callback: () => void): void {
    this.#onConnect = callback
  }
  onData(reception: Reception): void {
    this.#reception = reception
  }
  onDrain(callback: () => void): void {
    this.#onDrain = callback
  }
  onClose(callback: (error: Error | null) => void): void {
    this.#onClose = callback
  }

  write(buffers: readonly Buffer[]): boolean {
    if (this.isOver || this.#closing || this.#ending) return false
    if (this.#out === null) {
      this.#early.push(...buffers)
      return false
    }
    this.#out.write(buffers)
    this.#wantsDrain = this.#out.waitingBytes > 0
    return !this.#wantsDrain
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#in?.deliverLater()
  }

  get takesData(): boolean {
    return this.#open && !this.#paused && !this.#closing && !this.isOver
  }

  end(): void {
    if (this.isOver || this.#closing || this.#ending) return
    this.#ending = true
    if (this.#out === null) this.destroy()
    else this.#out.end()
  }

  destroy(error?: Error): void {
    if (this.isOver || this.#closing) return
    this.#closing = true
    if (error !== undefined) this.#error ??= error
    if (this.#out !== null) {
      if (this.resetOnDeath || this.#in!.hasUnread) this.#out.reset()
      else this.#out.finish()
    }
    this.app(() => this.#closed())
  }

  /** Runs in the process, unless it is dead. */
  app(run: () => void): void {
    this.#network.scheduler.after(0.005, this.process, 'net', run)
  }

  established(out: Pipe, incoming: Pipe): void {
    this.#out = out
    this.#in = incoming
    if (this.connecting !== null) this.connecting.run = null
  }

  accepted(out: Pipe, incoming: Pipe): void {
    this.#out = out
    this.#in = incoming
  }

  opened(): void {
    this.#open = true
    this.#in!.deliverLater()
  }

  connected(): void {
    if (this.#closing || this.isOver) return
    this.#open = true
    this.#onConnect()
    const early = this.#early
    this.#early = []
    if (early.length > 0 && !this.#closing) {
      this.#out!.write(early)
      this.#wantsDrain = true
      if (this.#out!.waitingBytes === 0) this.drained()
    }
    this.#in!.deliverLater()
  }

  refused(): void {
    if (this.connecting !== null) this.connecting.run = null
    this.#fail('ECONNREFUSED')
  }

  data(chunk: Buffer): void {
    if (this.#reception !== null) fill(this.#reception, chunk)
  }

  drained(): void {
    if (!this.#wantsDrain) return
    this.#wantsDrain = false
    this.app(() => {
      if (!this.isOver && !this.#closing) this.#onDrain()
    })
  }

  /** The other side has ended in order, and everything was read. */
  finished(): void {
    if (this.isOver || this.#closing) return
    this.#closing = true
    this.#out?.end()
    this.app(() => this.#closed())
  }

  /** All of ours has left after `end`. */
  flushed(): void {
    if (!this.#ending || this.#closing) return
    this.#closing = true
    this.app(() => this.#closed())
  }

  wasReset(): void {
    this.#fail('ECONNRESET')
  }

  processDied(): void {
    this.isOver = true
    if (this.resetOnDeath || this.#in?.hasUnread === true) this.#out?.reset()
    else this.#out?.finish()
  }

  #fail(code: string): void {
    if (this.isOver || this.#closing) return
    this.#closing = true
    const error = new Error(`${code} ${this.remoteAddress}:${this.remotePort}`)
    this.#error ??= Object.assign(error, { code })
    if (this.#out !== null) this.#out.discard()
    this.app(() => this.#closed())
  }

  #closed(): void {
    if (this.isOver) return
    this.isOver = true
    if (this.connecting !== null) this.connecting.run = null
    this.#onClose(this.#error)
  }
}
