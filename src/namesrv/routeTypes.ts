import type { DataVersion, QueueData } from '../protocol/index.ts'
import type { Connection } from '../remoting/index.ts'

/** Broker id of whoever takes writes. */
export const LEADER_ID = 0

/** Version before any table was seen. A raft group's brokers put their term into `stateVersion`. */
export const NO_VERSION: DataVersion = { stateVersion: 0, timestamp: 0, counter: 0 }

/** What a broker group offers of one topic. */
export type TopicQueues = Readonly<QueueData>

/** REGISTER_BROKER (103), checked. */
export interface Registration {
  readonly clusterName: string
  readonly brokerName: string
  readonly brokerAddr: string
  readonly brokerId: number
  readonly haServerAddr: string
  readonly zoneName: string | null
  /** null: the field was not sent (4.9 brokers). */
  readonly enableActingMaster: boolean | null
  /** Silence until the broker is forgotten; null: the default. */
  readonly heartbeatTimeoutMs: number | null
  readonly version: DataVersion
  /** null: the registration had no body. */
  readonly topics: ReadonlyMap<string, TopicQueues> | null
  readonly filterServers: readonly string[]
}

/** One broker process under its id. */
export interface Member {
  readonly brokerName: string
  brokerId: number
  readonly brokerAddr: string
  haServerAddr: string
  version: DataVersion
  /** Monotonic time of the last sign of life. */
  seenMs: number
  heartbeatTimeoutMs: number
  /** null once it is gone or was never there (tests, tools). */
  connection: Connection | null
  filterServers: readonly string[]
}

/** All brokers of one name. */
export interface BrokerGroup {
  readonly brokerName: string
  readonly clusterName: string
  zoneName: string | null
  enableActingMaster: boolean | null
  readonly members: Map<number, Member>
  /** Topics that it offers, so that its end costs only what it had. */
  readonly topics: Set<string>
  /** Highest term with which id 0 was claimed; a claim of a lower term by another address is refused (raft.md 4.15). */
  leaderTerm: number
  /** Whose table the topics were last taken from, and at which version. */
  appliedFrom: string | null
  appliedVersion: DataVersion
}

export type RegistrationOutcome = 'new' | 'changed' | 'same' | 'refused'

export interface RegistrationResult {
  readonly outcome: RegistrationOutcome
  /** Why, when refused; what changed, when changed. */
  readonly note: string
  /** For a member that is not the leader, when there is one. */
  readonly masterAddr: string | null
  readonly haServerAddr: string | null
}
