import type { Logger } from '../../platform/index.ts'
import { groupProblem } from '../../protocol/index.ts'
import { NotLeaderError } from '../../raft/index.ts'
import type { GroupSettings, Store } from '../../store/index.ts'
import type { LiveConfig } from '../config/index.ts'
import { LimitReachedError } from '../topics/index.ts'

/** There from the first start on (broker.md 2.9). */
const builtInGroups = [
  'TOOLS_CONSUMER',
  'FILTERSRV_CONSUMER',
  'SELF_TEST_C_GROUP',
  'CID_ONS-HTTP-PROXY',
  'CID_ONSAPI_PULL',
  'CID_ONSAPI_PERMISSION',
  'CID_ONSAPI_OWNER',
  'CID_RMQ_SYS_TRANS'
]
const systemGroupPrefix = 'CID_RMQ_SYS_'
/** Groups of the original's tools and services, which no setting shuts out. */
const systemGroups = new Set([
  ...builtInGroups,
  'DEFAULT_CONSUMER',
  'SCHEDULE_CONSUMER',
  '__MONITOR_CONSUMER'
])

/** Of the system, not of a user. */
export function isSystemGroup(group: string): boolean {
  return group.startsWith(systemGroupPrefix) || systemGroups.has(group)
}

/** A subscription group as the original makes it when nothing else is said (broker.md 2.9). */
function newGroup(groupName: string): GroupSettings {
  return {
    groupName,
    consumeEnable: true,
    consumeFromMinEnable: true,
    consumeBroadcastEnable: true,
    retryQueueNums: 1,
    retryMaxTimes: 16,
    brokerId: 0,
    whichBrokerWhenConsumeSlowly: 1,
    notifyConsumerIdsChangedEnable: true
  }
}

/** The consumer groups of this broker: looked up in the replicated table, made through the log. */
export class GroupService {
  readonly #store: Store
  readonly #config: LiveConfig
  readonly #logger: Logger
  readonly #making = new Map<string, Promise<GroupSettings>>()
  /** Defaults handed out for groups that are not in the log yet, so that a pull need not wait; emptied when it is full. */
  readonly #defaults = new Map<string, GroupSettings>()
  /** Said once, until one could be made again: every pull of a new group comes by. */
  #limitSaid: boolean = false

  constructor(store: Store, config: LiveConfig, logger: Logger) {
    this.#store = store
    this.#config = config
    this.#logger = logger
  }

  /** What the table says; undefined for an unknown group. */
  find(group: string): GroupSettings | undefined {
    return this.#store.tables.groups.get(group)
  }

  /**
   * As `find`, but an unknown group that may be made is answered with its defaults at once; the leader makes it in the
   * background. Undefined: SUBSCRIPTION_GROUP_NOT_EXIST (26).
   */
  findOrDefault(group: string): GroupSettings | undefined {
    const present = this.find(group)
    if (present !== undefined) return present
    if (!this.mayBeMade(group)) return undefined
    let settings = this.#defaults.get(group)
    if (settings === undefined) {
      settings = newGroup(group)
      if (this.#defaults.size >= this.#config.values.maxGroups) this.#defaults.clear()
      this.#defaults.set(group, settings)
    }
    if (this.#store.ready && !this.#making.has(group))
      this.ensure(group).catch(error => this.#failed(group, error))
    return settings
  }

  /** What `findOrDefault` answers; nothing is made. */
  peek(group: string): GroupSettings | undefined {
    return this.find(group) ?? (this.mayBeMade(group) ? newGroup(group) : undefined)
  }

  mayBeMade(group: string): boolean {
    const { autoCreateSubscriptionGroup, enableCreateSysGroup } = this.#config.values
    return (
      groupProblem(group) === null &&
      (autoCreateSubscriptionGroup ||
        (enableCreateSysGroup && group.startsWith(systemGroupPrefix)) ||
        builtInGroups.includes(group))
    )
  }

  /** Resolves to the group when it is there, made with the defaults if it was not. Leader only: rejects as `TopicService.ensure`. */
  ensure(group: string): Promise<GroupSettings> {
    const present = this.find(group)
    if (present !== undefined) return Promise.resolve(present)
    const making = this.#making.get(group)
    if (making !== undefined) return making
    const groupsMax = this.#config.values.maxGroups
    if (this.#store.tables.groups.size + this.#making.size >= groupsMax)
      return Promise.reject(
        new LimitReachedError(
          `subscription group [${group}] was not made: maxGroups is ${groupsMax}`
        )
      )
    const made = this.#make(group)
    this.#making.set(group, made)
    return made
  }

  async #make(name: string): Promise<GroupSettings> {
    try {
      await this.#store.execute({ type: 'putGroup', group: newGroup(name), ifAbsent: true })
      // With those that are on their way, as for who asks; this one is counted among both.
      const taken = this.#store.tables.groups.size + this.#making.size - 1
      if (taken < this.#config.values.maxGroups) this.#limitSaid = false
      this.#logger.info('Subscription group made', { group: name })
      return this.find(name) ?? newGroup(name)
    } finally {
      this.#making.delete(name)
      this.#defaults.delete(name)
    }
  }

  #failed(group: string, error: unknown): void {
    if (error instanceof NotLeaderError) return
    if (error instanceof LimitReachedError) {
      if (this.#limitSaid) return
      this.#limitSaid = true
    }
    this.#logger.warn('Subscription group not made', {
      group,
      reason: error instanceof Error ? error.message : String(error)
    })
  }

  async ensureBuiltIn(): Promise<void> {
    await Promise.all(builtInGroups.map(group => this.ensure(group)))
  }
}
