import type { ResolvedConsumerOptions } from './consumerOptions.ts'
import { TopicStats } from './consumeStats.ts'
import type { ClientInstance } from './instance.ts'
import type { OffsetStore } from './offsets.ts'
import type { ProcessQueue } from './processQueue.ts'
import type { Subscription } from './subscription.ts'
import type { Tracer } from './tracer.ts'

/** What the parts of one push consumer share. */
export interface ConsumerGroup {
  readonly instance: ClientInstance
  readonly options: ResolvedConsumerOptions
  readonly offsets: OffsetStore
  readonly subscriptions: Map<string, Subscription>
  /** Queues assigned to this client, by `queueKey`. */
  readonly queues: Map<string, ProcessQueue>
  readonly stats: Map<string, TopicStats>
  readonly tracer: Tracer | null
}

/** Hands messages to the listener. */
export interface ConsumeService {
  /** The queue has messages that nobody works on. */
  arrived(queue: ProcessQueue): void
  /** Resolves when no listener works on the queue's messages. */
  idle(queue: ProcessQueue): Promise<void>
  /** Starts no further listener call. */
  stop(): void
}

export function statsOf(group: ConsumerGroup, topic: string): TopicStats {
  let stats = group.stats.get(topic)
  if (stats === undefined) {
    stats = new TopicStats(group.instance.platform.clock)
    group.stats.set(topic, stats)
  }
  return stats
}
