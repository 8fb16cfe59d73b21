import { ResponseCode } from '../protocol/index.ts'
import { asError, ClientError } from './errors.ts'
import { type ConsumerGroup, type ConsumeService, statsOf } from './group.ts'
import type { ProcessQueue } from './processQueue.ts'
import { type PullResult, pull } from './pull.ts'
import { Sleeper } from './sleeper.ts'
import { startOffset } from './startOffset.ts'
import { accepts } from './subscription.ts'

/** remoting.md 5.7 */
const FULL_PAUSE_MS = 50
const PAUSED_PAUSE_MS = 1_000
const FLOW_CONTROL_PAUSE_MS = 20
/** After failures: quick at first, because a new leader takes about a second. */
const FAILURE_PAUSES_MS = [50, 100, 200, 500, 1_000] as const

export interface PullLoopHooks {
  /** True when the queue may be read; in orderly mode this gets its lock. */
  mayPull(queue: ProcessQueue): Promise<boolean>
  paused(): boolean
  /** The broker says that the group's place does not exist: go on at `offset` with nothing in memory. */
  moved(queue: ProcessQueue, offset: number): void
}

/** Fills one process queue for as long as it is ours. */
export class PullLoop {
  readonly #group: ConsumerGroup
  readonly #queue: ProcessQueue
  readonly #service: ConsumeService
  readonly #hooks: PullLoopHooks
  readonly #sleeper: Sleeper
  #failures = 0
  #interrupt: (() => void) | null = null
  #ended: boolean = false

  constructor(
    group: ConsumerGroup,
    queue: ProcessQueue,
    service: ConsumeService,
    hooks: PullLoopHooks
  ) {
    this.#group = group
    this.#queue = queue
    this.#service = service
    this.#hooks = hooks
    this.#sleeper = new Sleeper(group.instance.platform.clock)
  }

  /** Resolves after `stop` or `end`. */
  async run(): Promise<void> {
    while (!this.#ended) {
      let pauseMs: number
      try {
        pauseMs = await this.#turn()
        this.#failures = 0
      } catch (error) {
        if (this.#ended) return
        pauseMs = this.#failed(error)
      }
      if (pauseMs > 0) await this.#sleeper.sleep(pauseMs)
    }
  }

  /** The queue's leader changed: what waits for an answer is asked again elsewhere. */
  retry(): void {
    this.#interrupt?.()
    this.#sleeper.wake()
  }

  /** The queue is not ours any more: results of listeners that still run count for nothing. */
  stop(): void {
    this.#queue.dropped = true
    this.end()
  }

  /** Nothing more is pulled; what was pulled may still be consumed. */
  end(): void {
    this.#ended = true
    this.#interrupt?.()
    this.#sleeper.stop()
  }

  /** One step; returns the pause before the next. */
  async #turn(): Promise<number> {
    const queue = this.#queue
    if (this.#hooks.paused()) return PAUSED_PAUSE_MS
    if (!(await this.#hooks.mayPull(queue))) return PAUSED_PAUSE_MS
    if (this.#ended) return 0
    queue.nextPullOffset ??= await this.#startOffset()
    if (this.#ended) return 0
    if (this.#isFull()) return FULL_PAUSE_MS
    const result = await this.#pull(queue.nextPullOffset)
    if (result !== null && !this.#ended) this.#take(result)
    return 0
  }

  async #pull(offset: number): Promise<PullResult | null> {
    const queue = this.#queue
    const { instance, options, offsets, subscriptions } = this.#group
    const subscription = subscriptions.get(queue.queue.topic)
    if (subscription === undefined) {
      this.stop()
      return null
    }
    const startedMs = instance.platform.clock.monotonicMs()
    queue.lastPullMs = startedMs
    const interrupted = new Promise<null>(resolve => {
      this.#interrupt = () => resolve(null)
    })
    const pulling = pull(instance, {
      group: options.group,
      queue: queue.queue,
      offset,
      maxMessages: options.messagesPerPull,
      subscription,
      suspendMs: options.pullSuspendMs,
      commitOffset: options.clustering ? offsets.current(queue.queue) : null,
      brokerId: queue.suggestedBrokerId
    })
    // When interrupted, nobody waits for this any more.
    pulling.catch(() => {})
    const result = await Promise.race([pulling, interrupted])
    this.#interrupt = null
    if (result !== null && result.messages.length > 0) {
      statsOf(this.#group, queue.queue.topic).pulled(
        result.messages.length,
        instance.platform.clock.monotonicMs() - startedMs
      )
    }
    return result
  }

  #take(result: PullResult): void {
    const queue = this.#queue
    queue.suggestedBrokerId = result.suggestedBrokerId
    if (result.status === 'offsetIllegal') {
      this.#hooks.moved(queue, result.nextOffset)
      return
    }
    const subscription = this.#group.subscriptions.get(queue.queue.topic)
    const wanted =
      subscription === undefined ? [] : result.messages.filter(m => accepts(subscription, m.tag))
    queue.put(wanted)
    queue.nextPullOffset = result.nextOffset
    // With nothing in hand, everything up to here is done with, also what the tags excluded.
    if (queue.count === 0) this.#group.offsets.update(queue.queue, result.nextOffset)
    else this.#service.arrived(queue)
  }

  #isFull(): boolean {
    const { queueMessagesMax, queueBytesMax, queueSpanMax, orderly } = this.#group.options
    const queue = this.#queue
    return (
      queue.count >= queueMessagesMax ||
      queue.bytes >= queueBytesMax ||
      (!orderly && queue.span >= queueSpanMax)
    )
  }

  /** Where the group goes on, or begins when it has no offset here. */
  async #startOffset(): Promise<number> {
    const { instance, offsets, options } = this.#group
    const { queue } = this.#queue
    return (await offsets.read(queue)) ?? startOffset(instance, queue, options.consumeFrom)
  }

  #failed(error: unknown): number {
    const { instance, options } = this.#group
    if (error instanceof ClientError && error.responseCode === ResponseCode.FLOW_CONTROL) {
      return FLOW_CONTROL_PAUSE_MS
    }
    const fields = { group: options.group, ...this.#queue.queue, error: asError(error).message }
    // The first failure is the news; the repetitions come each second.
    if (this.#failures === 0) instance.logger.warn('A pull failed, it will be repeated', fields)
    else instance.logger.debug('A pull failed again', fields)
    instance.routes.refreshSoon(this.#queue.queue.topic)
    const step = Math.min(this.#failures++, FAILURE_PAUSES_MS.length - 1)
    return FAILURE_PAUSES_MS[step]!
  }
}
