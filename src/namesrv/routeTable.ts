import { type DataVersion, sameDataVersion, TopicPerm } from '../protocol/index.ts'
import type { Connection } from '../remoting/index.ts'
import {
  type BrokerGroup,
  LEADER_ID,
  type Member,
  NO_VERSION,
  type Registration,
  type RegistrationResult,
  type TopicQueues
} from './routeTypes.ts'

/** Silence after which a broker is forgotten, unless it names another figure (broker.md 1.3). */
const BROKER_TIMEOUT_MS = 120_000
/** What registrations may fill the tables with. */
const GROUPS_MAX = 10_000
const MEMBERS_MAX = 1_000
const TOPICS_MAX = 500_000
/** Pairs of a topic and a broker name that offers it. */
const OFFERS_MAX = 2_000_000

export interface RouteTableOptions {
  /** Topics that a full table lacks are removed for its broker (5.3's deleteTopicWithBrokerRegistration). */
  deleteMissingTopics(): boolean
}

/**
 * Who is there and what they offer (broker.md 1.1 to 1.3, 1.6, 1.8). Plain state: the time comes as an argument, nothing is sent.
 *
 * It differs from the original in two rules, both about id 0. Claims on it are ordered by the term in the data version, so a deposed
 * leader that wakes up cannot take it back. And the table of whoever holds it is compared with the one last applied for the broker *name*,
 * so a new leader's topics are taken even when its own version did not change.
 */
export class RouteTable {
  readonly groups = new Map<string, BrokerGroup>()
  /** cluster → broker names */
  readonly clusters = new Map<string, Set<string>>()
  /** topic → broker name → what it offers */
  readonly topics = new Map<string, Map<string, TopicQueues>>()
  readonly #options: RouteTableOptions
  #offers = 0

  constructor(options: RouteTableOptions) {
    this.#options = options
  }

  register(
    registration: Registration,
    connection: Connection | null,
    nowMs: number
  ): RegistrationResult {
    const refusal = this.#refuses(registration)
    const known = this.groups.get(registration.brokerName)
    if (refusal !== null) return { outcome: 'refused', note: refusal, ...leaderOf(known) }
    const group = known ?? this.#addGroup(registration)
    if (registration.zoneName !== null) group.zoneName = registration.zoneName
    if (registration.enableActingMaster !== null) {
      group.enableActingMaster = registration.enableActingMaster
    }
    const changes: string[] = []
    const { previous, member } = this.#putMember(group, registration, nowMs, changes)
    attach(member, connection)
    const leads = registration.brokerId === LEADER_ID
    if (leads) group.leaderTerm = registration.version.stateVersion
    if (registration.topics !== null && (leads || this.#isPrimeSlave(group, registration))) {
      const count = this.#applyTopics(group, registration, registration.topics)
      if (count > 0) changes.push(`${count} topics`)
    }
    const outcome = previous === null ? 'new' : changes.length === 0 ? 'same' : 'changed'
    return {
      outcome,
      note: changes.join(', '),
      ...(leads ? NO_LEADER : leaderOf(group))
    }
  }

  /** Version that the server has of a broker; counts as a sign of life. null: not registered. */
  touch(brokerName: string, brokerAddr: string, nowMs: number): DataVersion | null {
    const member = this.#memberAt(brokerName, brokerAddr)
    if (member === null) return null
    member.seenMs = nowMs
    return member.version
  }

  /** UNREGISTER_BROKER. False: no such broker. */
  unregister(brokerName: string, brokerAddr: string): boolean {
    const member = this.#memberAt(brokerName, brokerAddr)
    if (member === null) return false
    this.#removeMember(member)
    return true
  }

  /** All that registered over this connection and not over another one since. */
  connectionLost(connection: Connection): Member[] {
    const members = [...membersOf(connection)]
    for (const member of members) this.#removeMember(member)
    return members
  }

  /** Removes and names those that were silent for too long; with their connection, if nobody else uses it. */
  expire(nowMs: number): { member: Member; silentMs: number; connection: Connection | null }[] {
    const silent: Member[] = []
    for (const group of this.groups.values()) {
      for (const member of group.members.values()) {
        if (nowMs - member.seenMs > member.heartbeatTimeoutMs) silent.push(member)
      }
    }
    return silent.map(member => {
      const { connection } = member
      this.#removeMember(member)
      const unused = connection !== null && membersOf(connection).size === 0
      return {
        member,
        silentMs: nowMs - member.seenMs,
        connection: unused ? connection : null
      }
    })
  }

  /** The process stood still: time that nobody could use to be heard does not count as silence. */
  forgiveSilence(ms: number): void {
    for (const group of this.groups.values()) {
      for (const member of group.members.values()) member.seenMs += ms
    }
  }

  /** Sets the permission of all topics of a broker name; resolves to how many it has. */
  changePermissions(brokerName: string, change: (perm: number) => number): number {
    const offered = this.groups.get(brokerName)?.topics ?? []
    let count = 0
    for (const topic of offered) {
      const byBroker = this.topics.get(topic)
      const queues = byBroker?.get(brokerName)
      if (byBroker === undefined || queues === undefined) continue
      count += 1
      byBroker.set(brokerName, { ...queues, perm: change(queues.perm) })
    }
    return count
  }

  /** With a cluster only what its brokers have of the topic. */
  deleteTopic(topic: string, clusterName: string | null): void {
    const brokerNames =
      clusterName === null
        ? [...(this.topics.get(topic)?.keys() ?? [])]
        : (this.clusters.get(clusterName) ?? [])
    for (const brokerName of brokerNames) this.#deleteQueues(topic, brokerName)
  }

  /** REGISTER_TOPIC_IN_NAMESRV: false when a broker is unknown or there is no room. */
  addTopic(topic: string, offers: readonly TopicQueues[]): boolean {
    if (!this.topics.has(topic) && this.topics.size >= TOPICS_MAX) return false
    if (this.#offers + offers.length > OFFERS_MAX) return false
    for (const { brokerName } of offers) if (!this.groups.has(brokerName)) return false
    for (const queues of offers) this.#putQueues(topic, queues)
    return true
  }

  #refuses(registration: Registration): string | null {
    const { brokerName, brokerAddr, brokerId, version, topics } = registration
    const group = this.groups.get(brokerName)
    if (group === undefined) {
      if (this.groups.size >= GROUPS_MAX) return `${GROUPS_MAX} broker names are registered`
    } else {
      if (group.members.size >= MEMBERS_MAX && !group.members.has(brokerId)) {
        return `${MEMBERS_MAX} brokers of this name are registered`
      }
      const leader = group.members.get(LEADER_ID)
      if (
        brokerId === LEADER_ID &&
        version.stateVersion < group.leaderTerm &&
        leader?.brokerAddr !== brokerAddr
      ) {
        return `id 0 of term ${version.stateVersion} is claimed, but term ${group.leaderTerm} was seen`
      }
    }
    const added = topics === null ? 0 : countMissing(topics.keys(), this.topics)
    if (this.topics.size + added > TOPICS_MAX) return `${TOPICS_MAX} topics are registered`
    const offered = topics === null ? 0 : countMissing(topics.keys(), group?.topics ?? NO_TOPICS)
    if (this.#offers + offered > OFFERS_MAX) return `${OFFERS_MAX} topics of brokers are registered`
    return null
  }

  #addGroup({ brokerName, clusterName }: Registration): BrokerGroup {
    const group: BrokerGroup = {
      brokerName,
      clusterName,
      zoneName: null,
      enableActingMaster: null,
      members: new Map(),
      topics: new Set(),
      leaderTerm: 0,
      appliedFrom: null,
      appliedVersion: NO_VERSION
    }
    this.groups.set(brokerName, group)
    let names = this.clusters.get(clusterName)
    if (names === undefined) {
      names = new Set()
      this.clusters.set(clusterName, names)
    }
    names.add(brokerName)
    return group
  }

  /** Puts the broker under its id: away from another id that it had, and over whoever had this one. */
  #putMember(
    group: BrokerGroup,
    registration: Registration,
    nowMs: number,
    changes: string[]
  ): { previous: Member | null; member: Member } {
    const { brokerAddr, brokerId } = registration
    const previous = this.#memberAt(group.brokerName, brokerAddr)
    if (previous !== null && previous.brokerId !== brokerId) {
      group.members.delete(previous.brokerId)
      changes.push(`id ${previous.brokerId} to ${brokerId}`)
      if (previous.brokerId === LEADER_ID) this.#leaderLeft(group)
    }
    const holder = group.members.get(brokerId)
    if (holder !== undefined && holder.brokerAddr !== brokerAddr) {
      detach(holder)
      changes.push(`id ${brokerId} taken from ${holder.brokerAddr}`)
    }
    const member: Member = previous ?? {
      brokerName: group.brokerName,
      brokerId,
      brokerAddr,
      haServerAddr: registration.haServerAddr,
      version: registration.version,
      seenMs: nowMs,
      heartbeatTimeoutMs: BROKER_TIMEOUT_MS,
      connection: null,
      filterServers: []
    }
    member.brokerId = brokerId
    member.haServerAddr = registration.haServerAddr
    if (!sameDataVersion(member.version, registration.version)) changes.push('table version')
    member.version = registration.version
    member.seenMs = nowMs
    member.heartbeatTimeoutMs = registration.heartbeatTimeoutMs ?? BROKER_TIMEOUT_MS
    member.filterServers = registration.filterServers
    group.members.set(brokerId, member)
    return { previous, member }
  }

  /** 5.3: without a leader the smallest id speaks for a group that knows acting masters. */
  #isPrimeSlave(group: BrokerGroup, registration: Registration): boolean {
    return (
      registration.enableActingMaster !== null &&
      registration.brokerId === Math.min(...group.members.keys())
    )
  }

  /** Takes the table over; the number of topics that are different now. */
  #applyTopics(
    group: BrokerGroup,
    registration: Registration,
    table: ReadonlyMap<string, TopicQueues>
  ): number {
    const { brokerName } = group
    const differs =
      group.appliedFrom !== registration.brokerAddr ||
      !sameDataVersion(group.appliedVersion, registration.version)
    const readOnly = registration.brokerId !== LEADER_ID && registration.enableActingMaster === true
    let changed = 0
    for (const [topic, offered] of table) {
      if (!differs && this.topics.get(topic)?.has(brokerName) === true) continue
      const queues = readOnly ? { ...offered, perm: offered.perm & ~TopicPerm.write } : offered
      if (this.#putQueues(topic, queues)) changed += 1
    }
    // A table of one topic is an increment: it says nothing about the others.
    if (differs && table.size > 1 && this.#options.deleteMissingTopics()) {
      for (const topic of [...group.topics]) {
        if (table.has(topic)) continue
        this.#deleteQueues(topic, brokerName)
        changed += 1
      }
    }
    group.appliedFrom = registration.brokerAddr
    group.appliedVersion = registration.version
    return changed
  }

  /** False: it was the same already. */
  #putQueues(topic: string, queues: TopicQueues): boolean {
    const { brokerName } = queues
    let byBroker = this.topics.get(topic)
    if (byBroker === undefined) {
      byBroker = new Map()
      this.topics.set(topic, byBroker)
    }
    const old = byBroker.get(brokerName)
    if (old !== undefined && sameQueues(old, queues)) return false
    if (old === undefined) this.#offers += 1
    this.groups.get(brokerName)?.topics.add(topic)
    byBroker.set(brokerName, queues)
    return true
  }

  #deleteQueues(topic: string, brokerName: string): void {
    const byBroker = this.topics.get(topic)
    if (byBroker?.delete(brokerName) !== true) return
    this.#offers -= 1
    this.groups.get(brokerName)?.topics.delete(topic)
    if (byBroker.size === 0) this.topics.delete(topic)
  }

  #memberAt(brokerName: string, brokerAddr: string): Member | null {
    for (const member of this.groups.get(brokerName)?.members.values() ?? []) {
      if (member.brokerAddr === brokerAddr) return member
    }
    return null
  }

  #removeMember(member: Member): void {
    detach(member)
    const group = this.groups.get(member.brokerName)
    if (group === undefined || group.members.get(member.brokerId) !== member) return
    group.members.delete(member.brokerId)
    if (group.members.size > 0) {
      if (member.brokerId === LEADER_ID) this.#leaderLeft(group)
      return
    }
    for (const topic of [...group.topics]) this.#deleteQueues(topic, group.brokerName)
    this.groups.delete(group.brokerName)
    const names = this.clusters.get(group.clusterName)
    names?.delete(group.brokerName)
    if (names?.size === 0) this.clusters.delete(group.clusterName)
  }

  /** The topics stay, so that consumers read on; 5.3 takes the write bit away from groups with acting masters. */
  #leaderLeft(group: BrokerGroup): void {
    if (group.enableActingMaster !== true) return
    this.changePermissions(group.brokerName, perm => perm & ~TopicPerm.write)
    group.appliedFrom = null
  }
}

const NO_LEADER = { masterAddr: null, haServerAddr: null }

function leaderOf(group: BrokerGroup | undefined): {
  masterAddr: string | null
  haServerAddr: string | null
} {
  const leader = group?.members.get(LEADER_ID)
  if (leader === undefined) return NO_LEADER
  return { masterAddr: leader.brokerAddr, haServerAddr: leader.haServerAddr }
}

function sameQueues(a: TopicQueues, b: TopicQueues): boolean {
  return (
    a.readQueueNums === b.readQueueNums &&
    a.writeQueueNums === b.writeQueueNums &&
    a.perm === b.perm &&
    a.topicSysFlag === b.topicSysFlag
  )
}

const NO_TOPICS: ReadonlySet<string> = new Set()

function countMissing(keys: Iterable<string>, present: { has(key: string): boolean }): number {
  let count = 0
  for (const key of keys) if (!present.has(key)) count += 1
  return count
}

/** A connection carries the members that registered over it, so that its end finds them. */
function membersOf(connection: Connection): Set<Member> {
  if (!(connection.attachment instanceof Set)) connection.attachment = new Set<Member>()
  return connection.attachment as Set<Member>
}

function attach(member: Member, connection: Connection | null): void {
  if (member.connection === connection) return
  detach(member)
  member.connection = connection
  if (connection !== null) membersOf(connection).add(member)
}

function detach(member: Member): void {
  if (member.connection !== null) membersOf(member.connection).delete(member)
  member.connection = null
}
