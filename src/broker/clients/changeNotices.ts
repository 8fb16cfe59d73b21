import type { Clock, Timer } from '../../platform/index.ts'
import { RequestCode, request } from '../../protocol/index.ts'
import type { LiveConfig } from '../config/index.ts'
import type { GroupService } from '../groups/index.ts'
import type { ConsumerGroup, ConsumerTable } from './consumers.ts'

/**
 * Changes of a group within this time make one notice: when thousands of members come at once, each would otherwise be told of
 * each other. Ms.
 */
const gatherMs = 50

/** NOTIFY_CONSUMER_IDS_CHANGED (40) to all members of a group that changed, the new one too (broker.md 4.6). */
export class ChangeNotices {
  readonly #clock: Clock
  readonly #config: LiveConfig
  readonly #groups: GroupService
  readonly #changed = new Set<string>()
  #timer: Timer | null = null

  constructor(clock: Clock, config: LiveConfig, groups: GroupService) {
    this.#clock = clock
    this.#config = config
    this.#groups = groups
  }

  /** Remembers the change; the notice follows within 50 ms. */
  changed(
    group: ConsumerGroup,
    reason: 'register' | 'unregister' | 'closed',
    consumers: () => ConsumerTable
  ): void {
    if (!this.#config.values.notifyConsumerIdsChangedEnable) return
    if (reason !== 'closed') {
      if (this.#groups.find(group.name)?.notifyConsumerIdsChangedEnable === false) return
      // Every member of a broadcasting group has all queues anyway (5.3).
      if (group.messageModel === 'BROADCASTING') return
    }
    this.#changed.add(group.name)
    this.#timer ??= this.#clock.after(gatherMs, () => this.#send(consumers()))
  }

  #send(consumers: ConsumerTable): void {
    this.#timer = null
    for (const name of this.#changed) {
      for (const member of consumers.find(name)?.members.values() ?? [])
        member.connection.oneway(
          request(RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, { consumerGroup: name })
        )
    }
    this.#changed.clear()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = null
    this.#changed.clear()
  }
}
