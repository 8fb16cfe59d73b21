import type { Clock } from '../../platform/index.ts'
import type { Connection } from '../../remoting/index.ts'
import {
  type ClientInfo,
  clientsOf,
  groupsOfConnectionMax,
  nameCharactersMax,
  type Registrant
} from './clientInfo.ts'
import type { Subscription } from './subscription.ts'

/** Topics, expressions and tags of all groups together; some hundred bytes a subscription are usual. */
const charactersMax = 67_108_864
/** A compiled filter takes as much memory as a text of this many times its own length. */
const filterWeight = 32

/** One consumer group as the heartbeats of its members show it; the last one wins silently (broker.md 4.6). */
export interface ConsumerGroup {
  readonly name: string
  consumeType: string
  messageModel: string
  consumeFromWhere: string
  readonly subscriptions: Map<string, Subscription>
  readonly members: Map<number, ClientInfo>
  /** What the texts of its subscriptions come to. */
  characters: number
}

export interface ConsumerRegistration {
  group: string
  consumeType: string
  messageModel: string
  consumeFromWhere: string
  subscriptions: readonly Subscription[]
}

/** Told when a group got or lost a member, or a topic. */
export type GroupListener = (
  group: ConsumerGroup,
  reason: 'register' | 'unregister' | 'closed'
) => void

export interface ConsumerLimits {
  groupsMax: () => number
  membersMax: () => number
  subscriptionsMax: () => number
}

/** Which consumers are connected here, by group. Local to this node: every member hears heartbeats of its own. */
export class ConsumerTable {
  readonly #groups = new Map<string, ConsumerGroup>()
  readonly #clock: Clock
  readonly #limits: ConsumerLimits
  readonly #listener: GroupListener
  #characters = 0

  constructor(clock: Clock, limits: ConsumerLimits, listener: GroupListener) {
    this.#clock = clock
    this.#limits = limits
    this.#listener = listener
  }

  find(group: string): ConsumerGroup | undefined {
    return this.#groups.get(group)
  }

  groups(): ConsumerGroup[] {
    return [...this.#groups.values()]
  }

  /** By (group, client id), as tools ask for one member. */
  findMember(group: string, clientId: string): ClientInfo | undefined {
    for (const member of this.#groups.get(group)?.members.values() ?? [])
      if (member.clientId === clientId) return member
    return undefined
  }

  /** The client of this connection has a newer one in the group. */
  isReplaced(groupName: string, connection: Connection): boolean {
    const group = this.#groups.get(groupName)
    const clientId = group?.members.get(connection.id)?.clientId
    if (group === undefined || clientId === undefined) return false
    for (const member of group.members.values())
      if (member.clientId === clientId && member.connection.id > connection.id) return true
    return false
  }

  /** Groups that subscribe the topic. */
  groupsOfTopic(topic: string): string[] {
    const names: string[] = []
    for (const group of this.#groups.values())
      if (group.subscriptions.has(topic)) names.push(group.name)
    return names
  }

  /**
   * Takes one consumer of a heartbeat. A new connection, or a topic more or less, is a change of which the members are told;
   * a newer subscription of a known topic is not. `refused`: a limit is reached, nothing was registered.
   */
  register(
    registration: ConsumerRegistration,
    client: Registrant,
    connection: Connection
  ): 'changed' | 'same' | 'refused' {
    let group = this.#groups.get(registration.group)
    if (!this.#hasRoom(registration, group, connection)) return 'refused'
    if (group === undefined) {
      if (this.#groups.size >= this.#limits.groupsMax()) return 'refused'
      group = {
        name: registration.group,
        consumeType: registration.consumeType,
        messageModel: registration.messageModel,
        consumeFromWhere: registration.consumeFromWhere,
        subscriptions: new Map(),
        members: new Map(),
        characters: 0
      }
    }
    const joined = this.#join(group, client, connection)
    if (joined === 'refused') return 'refused'
    this.#groups.set(registration.group, group)
    group.consumeType = registration.consumeType
    group.messageModel = registration.messageModel
    group.consumeFromWhere = registration.consumeFromWhere
    const resubscribed = this.#subscribe(group, registration.subscriptions)
    if (joined === 'same' && !resubscribed) return 'same'
    this.#listener(group, 'register')
    return 'changed'
  }

  #hasRoom(
    { group: name, subscriptions }: ConsumerRegistration,
    group: ConsumerGroup | undefined,
    connection: Connection
  ): boolean {
    if (name.length > nameCharactersMax) return false
    const { consumerGroups } = clientsOf(connection)
    if (consumerGroups.size >= groupsOfConnectionMax && !consumerGroups.has(name)) return false
    if (subscriptions.length > this.#limits.subscriptionsMax()) return false
    const others = this.#characters - (group?.characters ?? 0)
    return others + charactersOf(subscriptions) <= charactersMax
  }

  #join(
    group: ConsumerGroup,
    client: Registrant,
    connection: Connection
  ): 'new' | 'same' | 'refused' {
    const known = group.members.get(connection.id)
    if (known !== undefined && known.clientId === client.clientId) {
      known.language = client.language
      known.version = client.version
      known.lastHeartbeatMs = this.#clock.monotonicMs()
      known.lastHeartbeatWallMs = this.#clock.wallMs()
      return 'same'
    }
    if (known === undefined && group.members.size >= this.#limits.membersMax()) return 'refused'
    group.members.set(connection.id, {
      ...client,
      connection,
      lastHeartbeatMs: this.#clock.monotonicMs(),
      lastHeartbeatWallMs: this.#clock.wallMs()
    })
    clientsOf(connection).consumerGroups.add(group.name)
    return 'new'
  }

  #subscribe(group: ConsumerGroup, subscriptions: readonly Subscription[]): boolean {
    let changed = false
    let newer = false
    const wanted = new Set<string>()
    for (const subscription of subscriptions) {
      wanted.add(subscription.topic)
      const present = group.subscriptions.get(subscription.topic)
      if (present === undefined) changed = true
      else if (subscription.version <= present.version) continue
      group.subscriptions.set(subscription.topic, subscription)
      newer = true
    }
    for (const topic of [...group.subscriptions.keys()]) {
      if (wanted.has(topic)) continue
      group.subscriptions.delete(topic)
      changed = true
    }
    if (changed || newer) this.#count(group, charactersOf(group.subscriptions.values()))
    return changed
  }

  #count(group: ConsumerGroup, characters: number): void {
    this.#characters += characters - group.characters
    group.characters = characters
  }

  /** Only shows that the client lives: a heartbeat without subscriptions (heartbeat V2, remoting.md 2.6). False: it is not known. */
  touch(groupName: string, connection: Connection): boolean {
    const member = this.#groups.get(groupName)?.members.get(connection.id)
    if (member === undefined) return false
    member.lastHeartbeatMs = this.#clock.monotonicMs()
    member.lastHeartbeatWallMs = this.#clock.wallMs()
    return true
  }

  unregister(groupName: string, connection: Connection): void {
    this.#leave(groupName, connection, 'unregister')
  }

  closed(connection: Connection): void {
    for (const group of [...clientsOf(connection).consumerGroups])
      this.#leave(group, connection, 'closed')
  }

  #leave(groupName: string, connection: Connection, reason: 'unregister' | 'closed'): void {
    const group = this.#groups.get(groupName)
    if (group?.members.delete(connection.id) !== true) return
    clientsOf(connection).consumerGroups.delete(groupName)
    if (group.members.size > 0) this.#listener(group, reason)
    else {
      this.#groups.delete(groupName)
      this.#count(group, 0)
    }
  }

  /** Those silent since before `beforeMs` (monotonic). */
  silentSince(beforeMs: number): ClientInfo[] {
    const silent: ClientInfo[] = []
    for (const group of this.#groups.values())
      for (const member of group.members.values())
        if (member.lastHeartbeatMs < beforeMs) silent.push(member)
    return silent
  }
}

function charactersOf(subscriptions: Iterable<Subscription>): number {
  let characters = 0
  for (const { topic, expression, tags, filter } of subscriptions) {
    characters += topic.length + expression.length * (filter === null ? 1 : filterWeight)
    for (const tag of tags) characters += tag.length
  }
  return characters
}
