import { Producer, PullConsumer } from '../../src/client/index.ts'

/** Pause between two messages, so that the client measures its neighbours and is no load itself. */
const PAUSE_MS = 4

export interface HealthReport {
  sent: number
  received: number
  /** What went wrong, in words; empty when nothing did. */
  complaints: string[]
  send: Latencies
}

/** Milliseconds. */
export interface Latencies {
  count: number
  p50: number
  p99: number
  max: number
}

/**
 * A well-behaved client: it sends numbered messages and reads them back all the time, tries nothing twice, and notes every failure, every
 * message that is missing, doubled or out of order in its queue.
 */
export class HealthyClient {
  readonly #producer: Producer
  readonly #consumer: PullConsumer
  readonly #topic: string
  readonly #complaints: string[] = []
  readonly #sendMs: number[] = []
  /** Bodies by queue id, as they were acknowledged. */
  readonly #sent = new Map<number, string[]>()
  readonly #received = new Map<number, string[]>()
  /** Sent without an answer: they may be there or not. */
  readonly #uncertain = new Set<string>()
  #attempts = 0
  #sentCount = 0
  #receivedCount = 0
  #asked = 0
  #running = true
  #sending: Promise<void> = Promise.resolve()
  #reading: Promise<void> = Promise.resolve()

  constructor(nameServer: string, name: string) {
    this.#topic = `${name}-topic`
    this.#producer = new Producer({
      nameServers: nameServer,
      group: `${name}-producers`,
      retries: 0,
      retryWithinMs: 3_000
    })
    this.#consumer = new PullConsumer({
      nameServers: nameServer,
      group: `${name}-consumers`,
      pullSuspendMs: 1_000
    })
  }

  /** Resolves when it is at work. */
  async start(): Promise<void> {
    await this.#producer.start()
    await this.#consumer.start()
    // The first message makes the topic, and the broker tells the name server of it in its own time.
    await this.#producer.send({ topic: this.#topic, body: 'first' })
    const endMs = performance.now() + 20_000
    let queues: Awaited<ReturnType<PullConsumer['queues']>> = []
    while (queues.length === 0) {
      queues = await this.#consumer.queues(this.#topic).catch(error => {
        if (performance.now() > endMs) throw error
        return []
      })
      await pause(50)
    }
    this.#consumer.assign(queues)
    for (const queue of queues) this.#consumer.seek(queue, await this.#consumer.maxOffset(queue))
    this.#sending = this.#send()
    this.#reading = this.#read()
  }

  async #send(): Promise<void> {
    while (this.#running) {
      const body = `message ${this.#attempts++}`
      const startMs = performance.now()
      try {
        const { queue, queueOffset } = await this.#producer.send({ topic: this.#topic, body })
        this.#sendMs.push(performance.now() - startMs)
        put(this.#sent, queue.queueId, `${queueOffset} ${body}`)
        this.#sentCount += 1
      } catch (error) {
        this.#uncertain.add(body)
        this.#complain(`send after ${Math.round(performance.now() - startMs)} ms: ${error}`)
      }
      await pause(PAUSE_MS)
    }
  }

  async #read(): Promise<void> {
    for (;;) {
      try {
        const messages = await this.#consumer.poll(this.#running ? 500 : 1_500)
        for (const { queue, queueOffset, body } of messages)
          put(this.#received, queue.queueId, `${queueOffset} ${body}`)
        this.#receivedCount += messages.length
        if (messages.length === 0 && !this.#running) return
        await this.#consumer.commit()
      } catch (error) {
        this.#complain(`poll: ${error}`)
        await pause(100)
      }
    }
  }

  /** Stops sending, reads the rest, compares. */
  async stop(): Promise<HealthReport> {
    this.#running = false
    await this.#sending
    await this.#reading
    await Promise.all([this.#producer.close(), this.#consumer.close()])
    const places = new Map<string, string>()
    for (const [queueId, sent] of this.#sent)
      for (const message of sent) places.set(bodyOf(message), `${queueId} ${message}`)
    for (const [queueId, sent] of this.#sent) {
      // The producer tries a send again when the leader changes: an acknowledged message may lie at one more place.
      const received = (this.#received.get(queueId) ?? []).filter(
        message =>
          !this.#uncertain.has(bodyOf(message)) &&
          (places.get(bodyOf(message)) ?? `${queueId} ${message}`) === `${queueId} ${message}`
      )
      const differs = sent.findIndex((message, at) => received[at] !== message)
      if (differs >= 0 || received.length !== sent.length)
        this.#complain(
          `queue ${queueId}: ${sent.length} sent, ${received.length} received, the first difference is at ${differs}: ${sent[differs]} / ${received[differs]}`
        )
    }
    return {
      sent: this.#sentCount,
      received: this.#receivedCount,
      complaints: this.#complaints,
      send: latencies(this.#sendMs)
    }
  }

  /** How long its sends took since this was last asked for. */
  sinceLastAsked(): Latencies {
    const recent = this.#sendMs.slice(this.#asked)
    this.#asked = this.#sendMs.length
    return latencies(recent)
  }

  #complain(text: string): void {
    if (this.#complaints.length < 50) this.#complaints.push(text)
  }
}

function latencies(ms: readonly number[]): Latencies {
  const sorted = [...ms].sort((a, b) => a - b)
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) }
}

const bodyOf = (message: string): string => message.slice(message.indexOf(' ') + 1)

function put(map: Map<number, string[]>, queueId: number, text: string): void {
  const list = map.get(queueId)
  if (list === undefined) map.set(queueId, [text])
  else list.push(text)
}

export function pause(ms: number): Promise<void> {
  return new Promise(resolve => {
    setTimeout(resolve, ms)
  })
}
