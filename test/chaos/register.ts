import { ClientError, type MessageQueue, PullConsumer } from '../../src/client/index.ts'
import type { Recorder } from './bus.ts'
import { type OffsetEvent, sharedNowMs } from './events.ts'
import { ORDERED, pause, platform, REGISTER_GROUP } from './topics.ts'

const ROUND_MS = 100

/** A group whose offsets are written and read one after the other, as registers; what it reads must be what was written. */
export class OffsetRegister {
  readonly #recorder: Recorder
  readonly #consumer: PullConsumer
  readonly #next = new Map<MessageQueue, number>()
  #work: Promise<void> | null = null
  #working = true

  constructor(nameServers: string, recorder: Recorder) {
    this.#recorder = recorder
    this.#consumer = new PullConsumer({ nameServers, platform, group: REGISTER_GROUP })
  }

  async open(): Promise<void> {
    await this.#consumer.start()
    for (const queue of await this.#consumer.queues(ORDERED)) this.#next.set(queue, 1)
  }

  start(): void {
    this.#work = this.#run()
  }

  async drain(): Promise<void> {
    this.#working = false
    await this.#work
  }

  /** One more look at every register. */
  async finish(): Promise<void> {
    for (const queue of this.#next.keys()) await this.#read(queue)
  }

  close(): Promise<void> {
    return this.#consumer.close()
  }

  async #run(): Promise<void> {
    while (this.#working) {
      for (const [queue, offset] of this.#next) {
        this.#next.set(queue, offset + 1)
        await this.#commit(queue, offset)
        await this.#read(queue)
      }
      await pause(ROUND_MS)
    }
  }

  async #commit(queue: MessageQueue, offset: number): Promise<void> {
    this.#record(queue, 'commit', 'invoke', offset)
    const kind = await this.#attempt(() => this.#consumer.commitOffset(queue, offset))
    this.#record(queue, 'commit', kind === null ? 'unknown' : 'ok', offset)
  }

  async #read(queue: MessageQueue): Promise<void> {
    this.#record(queue, 'read', 'invoke')
    const found = await this.#attempt(async () => ({
      offset: await this.#consumer.committed(queue)
    }))
    this.#record(queue, 'read', found === null ? 'unknown' : 'ok', found?.offset ?? 0)
  }

  /** Null: nobody knows whether it happened. */
  async #attempt<T>(run: () => Promise<T>): Promise<T | undefined | null> {
    try {
      return await run()
    } catch (error) {
      if (!(error instanceof ClientError)) throw error
      return null
    }
  }

  #record(
    { topic, queueId }: MessageQueue,
    op: OffsetEvent['op'],
    kind: OffsetEvent['kind'],
    offset?: number
  ): void {
    const what = { client: REGISTER_GROUP, group: REGISTER_GROUP, topic, queue: queueId }
    const at = { at: sharedNowMs() }
    this.#recorder.add({ ...at, op, kind, ...what, ...(offset === undefined ? {} : { offset }) })
  }
}
