import type { Logger, Platform } from '../../platform/index.ts'
import type { RemotingClient, RemotingServer } from '../../remoting/index.ts'
import type { Store } from '../../store/index.ts'
// Some services are taken past their folders' doors: those also list the handlers, which get this context.
import type { ConsumerTable } from '../clients/consumers.ts'
import type { ProducerTable } from '../clients/producers.ts'
import type { LiveConfig } from '../config/index.ts'
import type { FilterCache } from '../filter/index.ts'
import type { ForbiddenReads, GroupService } from '../groups/index.ts'
import type { OffsetService } from '../offsets/offsetService.ts'
import type { PendingResets } from '../offsets/pendingResets.ts'
import type { PullHolds } from '../pull/holds.ts'
import type { Registration } from '../registration/index.ts'
import type { BrokerStats, RuntimeRates } from '../stats/index.ts'
import type { TopicService } from '../topics/index.ts'
import type { LargeAnswers } from './largeAnswers.ts'

/** What a broker is made of, as its handlers see it. One for each running broker; nothing in it is shared between brokers. */
export interface BrokerContext {
  readonly platform: Platform
  readonly logger: Logger
  readonly config: LiveConfig
  readonly store: Store
  readonly server: RemotingServer
  /** Connections to name servers and to the other members. */
  readonly client: RemotingClient
  readonly producers: ProducerTable
  readonly consumers: ConsumerTable
  readonly topics: TopicService
  readonly groups: GroupService
  /** What groups may not read. */
  readonly forbidden: ForbiddenReads
  readonly offsets: OffsetService
  /** Resets that consumers do not know yet. */
  readonly resets: PendingResets
  readonly holds: PullHolds
  /** SQL92 expressions, compiled. */
  readonly filters: FilterCache
  readonly stats: BrokerStats
  /** Puts and pulls per second, of the store's counters. */
  readonly rates: RuntimeRates
  readonly registration: Registration
  readonly largeAnswers: LargeAnswers
  /** `brokerIP1:port` as told to clients and name servers. */
  readonly address: string
  /** The same as 8 or 20 bytes: the store host of messages. */
  readonly storeHost: Buffer
  /** Wall clock of the start, ms. */
  readonly startedMs: number
  /** 0 while this node leads and takes writes, else the number in dLegerSelfId + 1. */
  brokerId(): number
  /** Leads and takes writes. */
  isLeader(): boolean
  /** As GET_BROKER_CONFIG (26) shows it: a group's leader is SYNC_MASTER, its followers are SLAVE. */
  role(): 'ASYNC_MASTER' | 'SYNC_MASTER' | 'SLAVE'
}
