import net from 'node:net'
import { decodeCommand, FrameReader, RequestCode } from '../../src/protocol/index.ts'
import type { Dice } from './dice.ts'
import type { FrameMaker } from './frames.ts'

/** Requests that wait for an answer on one connection. */
const WAITING_MAX = 8
/** An answer that takes longer counts as none; no request of the fuzzer is held for longer than 200 ms. */
const ANSWER_MS_MAX = 15_000
/** A connection that once sent a heartbeat and no further one is closed after 120 s, and rightly. */
const CONNECTION_MS_MAX = 60_000
/** A half frame that lies this long is given up. */
const LYING_MS = 300

/** The protocol has no answer for them: an END_TRANSACTION that decides nothing (remoting.md 2.9). */
const SILENT_CODES: ReadonlySet<number> = new Set([RequestCode.END_TRANSACTION])

export interface Findings {
  requests: number
  answers: number
  /** Answers by response code. */
  codes: Map<number, number>
  /** Connections that bytes which are no frames were thrown at. */
  noises: number
  /** What must not be, in words. */
  complaints: string[]
}

/** Sends whole frames with hostile content, and expects an answer to each: no request may cost the connection or stay unanswered. */
export class RequestAttacker {
  readonly #maker: FrameMaker
  readonly #findings: Findings
  readonly #port: number
  readonly #waiting = new Map<number, { code: number; sentMs: number; text: string }>()
  #socket: net.Socket | null = null
  #connectedMs = 0
  #wake: (() => void) | null = null
  #running = true

  constructor(port: number, maker: FrameMaker, findings: Findings) {
    this.#port = port
    this.#maker = maker
    this.#findings = findings
  }

  async run(): Promise<void> {
    while (this.#running) {
      const socket = this.#socket ?? (await this.#connect())
      const { bytes, command } = this.#maker.next()
      if (command === null) continue
      const oneway = (command.flag & 2) !== 0
      if (!oneway && !SILENT_CODES.has(command.code)) {
        const text = JSON.stringify(command.extFields)?.slice(0, 700) ?? ''
        const body = command.body?.subarray(0, 100).toString('latin1')
        this.#waiting.set(command.opaque, {
          code: command.code,
          sentMs: performance.now(),
          text: `v${command.version} ${text} body ${command.body?.length} ${body}`
        })
      }
      this.#findings.requests += 1
      const roomLeft = socket.write(bytes)
      if (!roomLeft || this.#waiting.size >= WAITING_MAX) await this.#progress()
      this.#lookForLate()
      if (performance.now() - this.#connectedMs > CONNECTION_MS_MAX) await this.#renew()
    }
    await this.#settle()
    this.#socket?.destroy()
  }

  /** No more requests; `run` ends when the open ones are answered. */
  stop(): void {
    this.#running = false
    this.#wake?.()
  }

  async #renew(): Promise<void> {
    await this.#settle()
    const socket = this.#socket
    this.#socket = null
    socket?.destroy()
  }

  async #settle(): Promise<void> {
    while (this.#waiting.size > 0 && this.#socket !== null) {
      await this.#progress()
      this.#lookForLate()
    }
  }

  /** Until something was answered, the connection ended, or a second has gone. */
  async #progress(): Promise<void> {
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, 1_000)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#wake = null
  }

  #lookForLate(): void {
    const nowMs = performance.now()
    for (const [opaque, { code, sentMs, text }] of this.#waiting) {
      if (nowMs - sentMs < ANSWER_MS_MAX) return
      this.#waiting.delete(opaque)
      this.#complain(`no answer to ${code}: ${text}`)
    }
  }

  async #connect(): Promise<net.Socket> {
    const socket = net.connect({ port: this.#port, host: '127.0.0.1', noDelay: true })
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    const reader = new FrameReader()
    socket.on('data', chunk => this.#received(reader, chunk))
    socket.on('error', () => {})
    socket.on('close', () => {
      if (this.#socket !== socket) return
      if (this.#waiting.size > 0 || this.#running) {
        const open = [...this.#waiting.values()].map(({ code, text }) => `${code} ${text}`)
        this.#complain(`a well-formed request cost its connection, one of: ${open.join(' | ')}`)
      }
      this.#waiting.clear()
      this.#socket = null
      this.#wake?.()
    })
    this.#socket = socket
    this.#connectedMs = performance.now()
    return socket
  }

  #received(reader: FrameReader, chunk: Buffer): void {
    reader.push(chunk)
    for (let frame = reader.next(); frame !== null; frame = reader.next()) {
      const answer = decodeCommand(frame)
      // Requests of the server's own, like notices of group changes.
      if ((answer.flag & 1) === 0) continue
      const asked = this.#waiting.get(answer.opaque)
      this.#waiting.delete(answer.opaque)
      this.#findings.answers += 1
      const { codes } = this.#findings
      codes.set(answer.code, (codes.get(answer.code) ?? 0) + 1)
      if (answer.code === 3 && asked !== undefined) this.#maker.learnUnsupported(asked.code)
      if (answer.code !== 0 && (answer.remark === null || answer.remark === ''))
        this.#complain(`code ${answer.code} without a remark to ${asked?.code}: ${asked?.text}`)
      const bug =
        /undefined|is not defined|is not a function|Cannot read|Cannot destructure|call stack|out of range/
      if (answer.code === 1 && bug.test(answer.remark ?? ''))
        this.#complain(`${asked?.code} is answered "${answer.remark}": ${asked?.text}`)
    }
    this.#wake?.()
  }

  #complain(text: string): void {
    const { complaints } = this.#findings
    if (complaints.length < 200) complaints.push(`port ${this.#port}: ${text}`)
  }
}

/** Throws bytes that are no frames, one connection after the other: each must end, by the server's hand or by ours. */
export class NoiseAttacker {
  readonly #dice: Dice
  readonly #ports: readonly number[]
  readonly #maker: FrameMaker
  readonly #findings: Findings
  #running = true

  constructor(ports: readonly number[], dice: Dice, maker: FrameMaker, findings: Findings) {
    this.#ports = ports
    this.#dice = dice
    this.#maker = maker
    this.#findings = findings
  }

  async run(): Promise<void> {
    while (this.#running) await this.#throw(this.#dice.pick(this.#ports))
  }

  stop(): void {
    this.#running = false
  }

  #throw(port: number): Promise<void> {
    return new Promise(resolve => {
      const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
      let timer: NodeJS.Timeout | null = null
      socket.on('connect', () => {
        this.#findings.noises += 1
        for (let n = this.#dice.below(3); n >= 0; n--) socket.write(this.#maker.next().bytes)
        const way = this.#dice.below(4)
        if (way === 0) socket.end()
        else if (way === 1) socket.resetAndDestroy()
        else timer = setTimeout(() => socket.destroy(), this.#dice.below(LYING_MS))
        if (way !== 3) socket.resume()
      })
      socket.on('error', () => {})
      socket.on('close', () => {
        if (timer !== null) clearTimeout(timer)
        resolve()
      })
    })
  }
}
