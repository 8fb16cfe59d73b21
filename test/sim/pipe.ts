import { crc32 } from 'node:zlib'
import { isSpoilt } from '../helpers/spoiltBlocks.ts'
import type { Link, SimNetwork, SimSocket } from './network.ts'

/** A system's buffer takes this much of a program at once; what it has not taken waits with the program. */
const SEGMENT_BYTES = 65_536
const RETRANSMIT_MAX_MS = 1_500

/** Without bytes it ends the connection. */
interface Packet {
  readonly kind: 'data' | 'fin' | 'reset'
  readonly bytes: Buffer
}

const NOTHING = Buffer.alloc(0)

/** One direction of a connection as TCP has it: in order, with a window, sent again while the link is cut. */
export class Pipe {
  readonly from: SimSocket
  readonly to: SimSocket
  waitingBytes = 0
  readonly #network: SimNetwork
  /** Not copied before they leave: a program that changes them too early is found out. */
  #waiting: Buffer[] = []
  #unacknowledgedBytes = 0
  /** On their way, in order. */
  #held: Packet[] = []
  #lastArrivalMs = 0
  #finAsked = false
  #over = false
  /** Arrived and not read yet. */
  #unread: Buffer[] = []
  #finArrived = false
  #delivering = false
  #acknowledging = 0
  #there: Link | null = null
  #back: Link | null = null

  constructor(network: SimNetwork, from: SimSocket, to: SimSocket) {
    this.#network = network
    this.from = from
    this.to = to
  }

  get hasUnread(): boolean {
    return this.#unread.length > 0
  }

  write(buffers: readonly Buffer[]): void {
    for (const buffer of buffers) {
      if (buffer.length === 0) continue
      this.#waiting.push(buffer)
      this.waitingBytes += buffer.length
    }
    this.#pump()
  }

  /** What waits is sent, then the end. */
  end(): void {
    this.#finAsked = true
    this.#pump()
  }

  /** The program or its process is gone: what the system had is sent, then the end. */
  finish(): void {
    this.#dropWaiting()
    this.end()
  }

  reset(): void {
    if (this.#over) return
    this.#dropWaiting()
    this.#held = []
    this.#send({ kind: 'reset', bytes: NOTHING })
    this.#over = true
  }

  /** The connection is gone here; nothing more is sent. */
  discard(): void {
    this.#dropWaiting()
    this.#over = true
    this.#network.forget(this)
  }

  /** Both ends get a reset; of what is on its way some bytes still arrive. */
  breakOff(): void {
    const { dice } = this.#network
    const first = this.#held.find(packet => packet.kind === 'data')
    if (first !== undefined) {
      const bytes = first.bytes.subarray(0, dice.below(first.bytes.length))
      if (bytes.length > 0) {
        this.#unread.push(bytes)
        this.#deliverNow()
      }
    }
    this.#held = []
    this.to.wasReset()
    this.from.wasReset()
  }

  linkHealed(): void {
    if (this.#held.length === 0 || this.#isBlocked()) return
    const delayMs = this.#network.dice.between(0.1, RETRANSMIT_MAX_MS)
    this.#network.scheduler.after(delayMs, null, 'net', () => this.#arrive(this.#held.length))
  }

  #dropWaiting(): void {
    this.#waiting = []
    this.waitingBytes = 0
  }

  #isBlocked(): boolean {
    return !this.to.machine.powered || this.#link().blocked
  }

  #link(): Link {
    this.#there ??= this.#network.link(this.from.machine.ip, this.to.machine.ip)
    return this.#there
  }

  #wayBack(): Link {
    this.#back ??= this.#network.link(this.to.machine.ip, this.from.machine.ip)
    return this.#back
  }

  #pump(): void {
    if (this.#over) return
    while (
      this.waitingBytes > 0 &&
      this.#unacknowledgedBytes < this.#network.settings.windowBytes
    ) {
      this.#send({ kind: 'data', bytes: this.#take(SEGMENT_BYTES) })
    }
    if (this.waitingBytes > 0) return
    this.from.drained()
    if (this.#finAsked) {
      this.#over = true
      this.#send({ kind: 'fin', bytes: NOTHING })
      this.from.flushed()
    }
  }

  #take(bytesMax: number): Buffer {
    const bytes = Buffer.alloc(Math.min(bytesMax, this.waitingBytes))
    let at = 0
    while (at < bytes.length) {
      const first = this.#waiting[0]!
      const taken = first.copy(bytes, at)
      at += taken
      if (taken === first.length) this.#waiting.shift()
      else this.#waiting[0] = first.subarray(taken)
    }
    if (isSpoilt(bytes)) {
      const { from, to } = this
      const way = `${from.process.name} (port ${from.localPort}) to ${to.machine.name}`
      this.#network.settings.violation(`${way}: memory was used again before the socket had it`)
    }
    this.waitingBytes -= bytes.length
    this.#unacknowledgedBytes += bytes.length
    return bytes
  }

  #send(packet: Packet): void {
    const network = this.#network
    const { scheduler } = network
    const link = this.#link()
    const bytes = packet.bytes.length
    this.#held.push(packet)
    const arrivalMs = scheduler.nowMs + network.packetMs(link) + bytes / link.bytesPerMs
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs + bytes / link.bytesPerMs, arrivalMs)
    scheduler.after(this.#lastArrivalMs - scheduler.nowMs, null, 'net', () => this.#arrive(1))
  }

  #arrive(count: number): void {
    for (let i = 0; i < count; i++) {
      if (this.#held.length === 0 || this.#isBlocked()) return
      this.#receive(this.#held.shift()!)
    }
  }

  #receive(packet: Packet): void {
    const { to, from } = this
    const unknown = to.isOver || to.boot !== to.machine.boot
    if (unknown) {
      // The system there knows no such connection.
      this.#held = []
      if (packet.kind === 'data')
        this.#network.scheduler.after(0.1, null, 'net', () => from.wasReset())
      else this.#network.forget(this)
      return
    }
    if (packet.kind === 'reset') {
      this.#unread = []
      this.#network.forget(this)
      to.wasReset()
    } else if (packet.kind === 'fin') {
      this.#finArrived = true
      this.deliverLater()
    } else {
      this.#network.scheduler.mix(crc32(packet.bytes))
      this.#unread.push(packet.bytes)
      this.deliverLater()
    }
  }

  deliverLater(): void {
    if (this.#delivering || !this.to.takesData) return
    if (this.#unread.length === 0 && !this.#finArrived) return
    this.#delivering = true
    this.to.app(() => {
      this.#delivering = false
      if (this.to.takesData) this.#deliverNow()
    })
  }

  #deliverNow(): void {
    const { dice } = this.#network
    if (this.#unread.length > 0) {
      let chunk = this.#unread.length === 1 ? this.#unread[0]! : Buffer.concat(this.#unread)
      this.#unread = []
      if (chunk.length > 1 && dice.chance(0.1)) {
        const cut = 1 + dice.below(chunk.length - 1)
        this.#unread.push(Buffer.from(chunk.subarray(cut)))
        chunk = Buffer.from(chunk.subarray(0, cut))
      }
      const { length } = chunk
      this.to.data(chunk)
      this.#acknowledge(length)
    }
    if (this.#unread.length > 0) this.deliverLater()
    else if (this.#finArrived) {
      this.#network.forget(this)
      this.to.finished()
    }
  }

  #acknowledge(bytes: number): void {
    const network = this.#network
    this.#acknowledging += bytes
    network.scheduler.after(network.packetMs(this.#wayBack()), null, 'net', () =>
      this.#acknowledged()
    )
  }

  /** While the way back is cut, the window stays full. */
  #acknowledged(): void {
    if (this.#acknowledging === 0) return
    if (this.#wayBack().blocked) {
      this.#network.scheduler.after(200, null, 'net', () => this.#acknowledged())
      return
    }
    this.#unacknowledgedBytes -= this.#acknowledging
    this.#acknowledging = 0
    this.#pump()
  }
}
