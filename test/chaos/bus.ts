import process from 'node:process'
import {
  connect,
  ErrorCode,
  JSONCodec,
  type Msg,
  type NatsConnection,
  type NatsError,
  StringCodec
} from 'nats'
import { type HistoryEvent, sharedNowMs } from './events.ts'

/** How the processes of a run speak with each other: JSON over a NATS server of the run's own. */
export const Subject = {
  /** The agent that keeps the cluster's processes, disks and links. */
  agent: 'chaos.agent',
  load: 'chaos.load',
  collector: 'chaos.collector',
  /** `chaos.history.<source>.<number of the batch>`: lines of history. */
  history: 'chaos.history'
} as const

const json = JSONCodec()
const text = StringCodec()
const FLUSH_INTERVAL_MS = 50

type Answer = { value: unknown } | { error: string }

export class Bus {
  readonly #connection: NatsConnection

  private constructor(connection: NatsConnection) {
    this.#connection = connection
  }

  static async open(server: string): Promise<Bus> {
    // The server is started at the same moment.
    const connection = await connect({
      servers: server,
      waitOnFirstConnect: true,
      maxReconnectAttempts: 100,
      reconnectTimeWait: 100
    })
    return new Bus(connection)
  }

  /** Resolves with the answer of whoever serves the subject; rejects with its error's text. */
  async ask<T>(subject: string, request: object, timeoutMs: number): Promise<T> {
    const message = await this.#request(subject, json.encode(request), timeoutMs)
    const answer = json.decode(message.data) as Answer
    if ('error' in answer) throw new Error(answer.error)
    return answer.value as T
  }

  /** Waits for whoever serves the subject: it is started at the same time. */
  async #request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Msg> {
    const deadlineMs = sharedNowMs() + timeoutMs
    for (;;) {
      try {
        return await this.#connection.request(subject, data, { timeout: timeoutMs })
      } catch (error) {
        if ((error as NatsError).code !== ErrorCode.NoResponders) throw error
        if (sharedNowMs() > deadlineMs)
          throw new Error(`nobody serves ${subject}`, { cause: error })
        await new Promise(resolve => setTimeout(resolve, FLUSH_INTERVAL_MS))
      }
    }
  }

  /** Each request is served by itself, also while others are. */
  serve<R>(subject: string, handle: (request: R) => Promise<unknown>): void {
    this.#connection.subscribe(subject, {
      callback: (error, message) => {
        if (error !== null) throw error
        handle(json.decode(message.data) as R).then(
          value => message.respond(json.encode({ value: value ?? null })),
          (failure: Error) => message.respond(json.encode({ error: failure.message }))
        )
      }
    })
  }

  publishText(subject: string, data: string): void {
    this.#connection.publish(subject, text.encode(data))
  }

  /** `chaos.a.>` gives what comes below `chaos.a`. */
  onText(subject: string, take: (data: string, subject: string) => void): void {
    this.#connection.subscribe(subject, {
      callback: (error, message) => {
        if (error !== null) throw error
        take(text.decode(message.data), message.subject)
      }
    })
  }

  /** Ends this process when the server is gone: then so is the run. */
  exitWithServer(): void {
    void this.#connection.closed().then(() => process.exit(1))
  }

  flush(): Promise<void> {
    return this.#connection.flush()
  }

  close(): Promise<void> {
    return this.#connection.drain()
  }
}

/** Sends events to the collector in numbered batches, so that it knows of a lost one. */
export class Recorder {
  readonly #bus: Bus
  readonly #source: string
  readonly #timer: NodeJS.Timeout
  #lines: string[] = []
  #batches = 0

  constructor(bus: Bus, source: string) {
    this.#bus = bus
    this.#source = source
    this.#timer = setInterval(() => this.#send(), FLUSH_INTERVAL_MS)
  }

  add(event: HistoryEvent): void {
    this.#lines.push(JSON.stringify(event))
  }

  /** Resolves to the number of batches when the server has them all. */
  async end(): Promise<number> {
    clearInterval(this.#timer)
    this.#send()
    await this.#bus.flush()
    return this.#batches
  }

  #send(): void {
    if (this.#lines.length === 0) return
    const data = this.#lines.join('\n')
    this.#lines = []
    this.#bus.publishText(`${Subject.history}.${this.#source}.${this.#batches}`, data)
    this.#batches += 1
  }
}
