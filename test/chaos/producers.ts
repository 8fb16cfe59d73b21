import {
  ClientError,
  type MessageQueue,
  Producer,
  type SendOptions
} from '../../src/client/index.ts'
import type { Recorder } from './bus.ts'
import { sharedNowMs } from './events.ts'
import { LANE, LOOSE, LOOSE_SENDER, ORDERED, pause, platform, QUEUES } from './topics.ts'

/** Pauses between sends, ms. */
export interface Pace {
  /** Of each lane. */
  laneMs: number
  /** Of the loose sender, which does not wait for answers. */
  looseMs: number
}

const RETRY_PAUSE_MS = 20
/** Sends of the loose sender whose outcome is open; above it waits. */
const IN_FLIGHT_MAX = 64
/** Bodies are of many lengths, up to this. */
const PADDING_BYTES_MAX = 600

/** Sends without end; what gets no answer is sent again under the same name until one comes. */
export class Producers {
  readonly #recorder: Recorder
  readonly #pace: Pace
  readonly #producer: Producer
  readonly #work: Promise<void>[] = []
  #queues: readonly MessageQueue[] = []
  #working = true
  #acknowledged = 0
  #failed = 0
  #lastMs = 0
  #inFlight = 0

  constructor(nameServers: string, recorder: Recorder, pace: Pace) {
    this.#recorder = recorder
    this.#pace = pace
    this.#producer = new Producer({ nameServers, platform, group: 'chaos_producer' })
  }

  async open(): Promise<void> {
    await this.#producer.start()
    this.#queues = await this.#producer.queues(ORDERED)
    if (this.#queues.length !== QUEUES) {
      throw new Error(`${ORDERED} has ${this.#queues.length} queues, not ${QUEUES}`)
    }
  }

  start(): void {
    for (const [number, queue] of this.#queues.entries()) {
      this.#work.push(this.#lane(`${LANE}${number}`, queue))
    }
    this.#work.push(this.#loose())
  }

  counts(): { acknowledged: number; failed: number; sinceMs: number } {
    const sinceMs = sharedNowMs() - this.#lastMs
    return { acknowledged: this.#acknowledged, failed: this.#failed, sinceMs }
  }

  async drain(): Promise<void> {
    this.#working = false
    await Promise.all(this.#work)
  }

  close(): Promise<void> {
    return this.#producer.close()
  }

  /** One message after the other to one queue. */
  async #lane(sender: string, queue: MessageQueue): Promise<void> {
    for (let sequence = 0; this.#working; sequence += 1) {
      await this.#untilStored(sender, sequence, ORDERED, { queue })
      await pause(this.#pace.laneMs)
    }
  }

  async #loose(): Promise<void> {
    const open = new Set<Promise<void>>()
    for (let sequence = 0; this.#working; sequence += 1) {
      this.#inFlight += 1
      const sending = this.#untilStored(LOOSE_SENDER, sequence, LOOSE, {}).then(() => {
        this.#inFlight -= 1
        open.delete(sending)
      })
      open.add(sending)
      if (this.#inFlight >= IN_FLIGHT_MAX) await Promise.race(open)
      await pause(this.#pace.looseMs)
    }
    await Promise.all(open)
  }

  async #untilStored(
    sender: string,
    sequence: number,
    topic: string,
    options: SendOptions
  ): Promise<void> {
    const value = `${sender}:${sequence}`
    const body = `${value} ${'.'.repeat((sequence * 37) % PADDING_BYTES_MAX)}`
    const head = { client: sender, op: 'send' as const, topic, value }
    for (;;) {
      this.#recorder.add({ at: sharedNowMs(), kind: 'invoke', ...head })
      try {
        const { queue, queueOffset } = await this.#producer.send({ topic, body }, options)
        const at = sharedNowMs()
        this.#recorder.add({ at, kind: 'ok', ...head, queue: queue.queueId, offset: queueOffset })
        this.#acknowledged += 1
        this.#lastMs = at
        return
      } catch (error) {
        if (!(error instanceof ClientError)) throw error
        const { code, message } = error
        this.#recorder.add({
          at: sharedNowMs(),
          kind: 'unknown',
          ...head,
          error: `${code}: ${message}`
        })
        this.#failed += 1
        await pause(RETRY_PAUSE_MS)
      }
    }
  }
}

/** The name of a message, without what fills its body. */
export function valueIn(body: Buffer): string {
  const text = body.toString('latin1')
  const end = text.indexOf(' ')
  return end < 0 ? text : text.slice(0, end)
}
