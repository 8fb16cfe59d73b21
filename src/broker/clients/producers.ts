import type { Clock } from '../../platform/index.ts'
import type { Connection } from '../../remoting/index.ts'
import {
  type ClientInfo,
  clientsOf,
  groupsOfConnectionMax,
  nameCharactersMax,
  type Registrant
} from './clientInfo.ts'

/** Which producers are connected here, by group (broker.md 4.6). Local to this node: every member hears heartbeats of its own. */
export class ProducerTable {
  readonly #groups = new Map<string, Map<number, ClientInfo>>()
  /** The same registrations by client id. */
  readonly #clients = new Map<string, Set<ClientInfo>>()
  readonly #clock: Clock
  readonly #groupsMax: () => number
  readonly #membersMax: () => number

  /** The limits are asked for at each registration, since they can change at run time. */
  constructor(clock: Clock, limits: { groupsMax: () => number; membersMax: () => number }) {
    this.#clock = clock
    this.#groupsMax = limits.groupsMax
    this.#membersMax = limits.membersMax
  }

  /** False when a limit is reached and the client was not registered. */
  register(group: string, client: Registrant, connection: Connection): boolean {
    if (group.length > nameCharactersMax) return false
    const { producerGroups } = clientsOf(connection)
    if (producerGroups.size >= groupsOfConnectionMax && !producerGroups.has(group)) return false
    let members = this.#groups.get(group)
    if (members === undefined) {
      if (this.#groups.size >= this.#groupsMax()) return false
      members = new Map()
      this.#groups.set(group, members)
    }
    const known = members.get(connection.id)
    if (known !== undefined && known.clientId === client.clientId) {
      known.language = client.language
      known.version = client.version
      known.lastHeartbeatMs = this.#clock.monotonicMs()
      known.lastHeartbeatWallMs = this.#clock.wallMs()
      return true
    }
    if (known === undefined && members.size >= this.#membersMax()) return false
    if (known !== undefined) this.#forget(known)
    const info: ClientInfo = {
      ...client,
      connection,
      lastHeartbeatMs: this.#clock.monotonicMs(),
      lastHeartbeatWallMs: this.#clock.wallMs()
    }
    members.set(connection.id, info)
    const registrations = this.#clients.get(client.clientId)
    if (registrations === undefined) this.#clients.set(client.clientId, new Set([info]))
    else registrations.add(info)
    producerGroups.add(group)
    return true
  }

  #forget(info: ClientInfo): void {
    const registrations = this.#clients.get(info.clientId)
    registrations?.delete(info)
    if (registrations?.size === 0) this.#clients.delete(info.clientId)
  }

  unregister(group: string, connection: Connection): void {
    const members = this.#groups.get(group)
    const info = members?.get(connection.id)
    if (members === undefined || info === undefined) return
    members.delete(connection.id)
    this.#forget(info)
    clientsOf(connection).producerGroups.delete(group)
    if (members.size === 0) this.#groups.delete(group)
  }

  closed(connection: Connection): void {
    for (const group of [...clientsOf(connection).producerGroups])
      this.unregister(group, connection)
  }

  /** Members of a group; empty when it has none. */
  members(group: string): ClientInfo[] {
    return [...(this.#groups.get(group)?.values() ?? [])]
  }

  groups(): string[] {
    return [...this.#groups.keys()]
  }

  /** The connection of its newest heartbeat; for replies, which name a client and no group (broker.md 5.5). */
  findClient(clientId: string): ClientInfo | undefined {
    let newest: ClientInfo | undefined
    for (const client of this.#clients.get(clientId) ?? [])
      if (
        !client.connection.closed &&
        client.lastHeartbeatMs >= (newest?.lastHeartbeatMs ?? Number.NEGATIVE_INFINITY)
      )
        newest = client
    return newest
  }

  /** Those silent since before `beforeMs` (monotonic). */
  silentSince(beforeMs: number): ClientInfo[] {
    const silent: ClientInfo[] = []
    for (const members of this.#groups.values())
      for (const member of members.values())
        if (member.lastHeartbeatMs < beforeMs) silent.push(member)
    return silent
  }
}
