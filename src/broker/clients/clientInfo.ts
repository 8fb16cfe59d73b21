import type { Connection } from '../../remoting/index.ts'

/** Producer groups, and consumer groups, that one connection may register. */
export const groupsOfConnectionMax = 1_000
/** Longest client id and group; the original's own limit for groups (remoting.md 2.14). */
export const nameCharactersMax = 255

/** One client process on one connection, as its last heartbeat showed it. */
export interface ClientInfo {
  readonly clientId: string
  readonly connection: Connection
  /** Language code and version ordinal of the frame. */
  language: number
  version: number
  /** Monotonic clock, ms. */
  lastHeartbeatMs: number
  /** Wall clock, ms; for lists. */
  lastHeartbeatWallMs: number
}

/** What hangs on a connection, so that its end costs only what it had registered. */
export interface ConnectionClients {
  readonly producerGroups: Set<string>
  readonly consumerGroups: Set<string>
}

/** The registrations of a connection; made when first asked for. */
export function clientsOf(connection: Connection): ConnectionClients {
  const present = connection.attachment as ConnectionClients | undefined | null
  if (present !== undefined && present !== null) return present
  const made: ConnectionClients = { producerGroups: new Set(), consumerGroups: new Set() }
  connection.attachment = made
  return made
}

export interface Registrant {
  clientId: string
  language: number
  version: number
}
