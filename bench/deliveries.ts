import {
  decodeStoredMessages,
  PullSysFlag,
  RequestCode,
  ResponseCode,
  request
} from '../src/protocol/index.ts'
import type { RemotingClient } from '../src/remoting/index.ts'
import { pause } from './pacedSends.ts'

const GROUP = 'bench_consumer'
const SUSPEND_MS = 15_000
const CALL_TIMEOUT_MS = 30_000
const AGAIN_MS = 10
const ID_BYTES = 4

/** With a subscription to all; `suspendMs` > 0: waits so long for a message. */
function pullFields(
  topic: string,
  queueId: number,
  offset: number,
  suspendMs: number
): Record<string, string> {
  const wait = suspendMs > 0 ? PullSysFlag.suspend : 0
  return {
    consumerGroup: GROUP,
    topic,
    queueId: String(queueId),
    queueOffset: String(offset),
    maxMsgNums: '32',
    sysFlag: String(wait | PullSysFlag.subscription),
    commitOffset: '0',
    suspendTimeoutMillis: String(suspendMs),
    subscription: '*',
    subVersion: '0',
    expressionType: 'TAG'
  }
}

/** A body that begins with the message's number. */
export function numbered(id: number, sizeBytes: number): Buffer {
  const body = Buffer.alloc(Math.max(ID_BYTES, sizeBytes), 'x')
  body.writeUInt32BE(id)
  return body
}

/** What one topic is to bring, each message once and at its time, and what it brought. */
export class Deliveries {
  readonly topic: string
  /** By the message's number: ms since 1970. NaN: not sent. */
  readonly dueMs: Float64Array
  /** When it was with the consumer, for the first time. NaN: it did not come. */
  readonly arrivedMs: Float64Array
  /** Different ones that came. */
  arrived = 0
  /** Came again. */
  doubled = 0

  constructor(topic: string, count: number) {
    this.topic = topic
    this.dueMs = new Float64Array(count).fill(Number.NaN)
    this.arrivedMs = new Float64Array(count).fill(Number.NaN)
  }

  get missing(): number {
    return this.dueMs.length - this.arrived
  }

  take(id: number, nowMs: number): void {
    if (!Number.isNaN(this.arrivedMs[id])) {
      this.doubled += 1
      return
    }
    this.arrivedMs[id] = nowMs
    this.arrived += 1
  }

  /** How late those were, in ms and ascending, that were due in [fromMs, toMs); of `sinceMs` or their time what is later. */
  lateness(fromMs = 0, toMs = Number.POSITIVE_INFINITY, sinceMs = 0): Float64Array {
    const late = new Float64Array(this.dueMs.length)
    let count = 0
    for (const [id, dueMs] of this.dueMs.entries()) {
      const arrivedMs = this.arrivedMs[id]!
      if (Number.isNaN(arrivedMs) || dueMs < fromMs || dueMs >= toMs) continue
      late[count] = arrivedMs - Math.max(dueMs, sinceMs)
      count += 1
    }
    return late.subarray(0, count).sort()
  }
}

/** A consumer with a pull open on every queue, which it sends again to whoever leads when its broker is gone. */
export class Consumer {
  readonly #client: RemotingClient
  readonly #leaderAddress: () => Promise<string>
  #address: string
  #ended = false

  /** `leaderAddress`: asked after each call that failed. */
  constructor(client: RemotingClient, address: string, leaderAddress: () => Promise<string>) {
    this.#client = client
    this.#address = address
    this.#leaderAddress = leaderAddress
  }

  end(): void {
    this.#ended = true
  }

  /** Reads a queue from its beginning, until `end`. */
  async read(queueId: number, deliveries: Deliveries): Promise<void> {
    let offset = 0
    while (!this.#ended) {
      const fields = pullFields(deliveries.topic, queueId, offset, SUSPEND_MS)
      const command = request(RequestCode.PULL_MESSAGE, fields)
      const answer = await this.#client
        .invoke(this.#address, command, CALL_TIMEOUT_MS)
        .catch(() => null)
      if (answer?.code === ResponseCode.SUCCESS) {
        const nowMs = Date.now()
        for (const { body } of decodeStoredMessages(answer.body!))
          deliveries.take(body.readUInt32BE(), nowMs)
        offset = Number(answer.extFields?.['nextBeginOffset'])
      } else if (answer?.code !== ResponseCode.PULL_NOT_FOUND) {
        await pause(AGAIN_MS)
        if (answer === null) this.#address = await this.#leaderAddress().catch(() => this.#address)
      }
    }
  }
}

/** Reads a queue that nobody writes to from its beginning to its end. */
export async function readQueue(
  client: RemotingClient,
  address: string,
  topic: string,
  queueId: number,
  visit: (id: number, storeTimestamp: number) => void
): Promise<void> {
  let offset = 0
  for (;;) {
    const command = request(RequestCode.PULL_MESSAGE, pullFields(topic, queueId, offset, 0))
    const answer = await client.invoke(address, command, CALL_TIMEOUT_MS)
    if (answer.code === ResponseCode.PULL_NOT_FOUND) return
    if (answer.code !== ResponseCode.SUCCESS)
      throw new Error(`pull of ${topic}/${queueId} at ${offset}: ${answer.code} ${answer.remark}`)
    for (const { body, storeTimestamp } of decodeStoredMessages(answer.body!))
      visit(body.readUInt32BE(), storeTimestamp)
    offset = Number(answer.extFields?.['nextBeginOffset'])
  }
}
