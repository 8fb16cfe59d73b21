import type { PullHeader } from '../../protocol/index.ts'
import type { Connection, RequestHead } from '../../remoting/index.ts'
import type { GroupSettings, MessageFilter } from '../../store/index.ts'

/** One pull while it is worked on or held; what a reused header says, kept. */
export class Pull implements RequestHead {
  readonly connection: Connection
  readonly code: number
  readonly opaque: number
  readonly flag: number
  readonly serializeType: number
  readonly version: number
  readonly group: string
  readonly topic: string
  readonly queueId: number
  readonly offset: number
  readonly maxMessages: number
  readonly sysFlag: number
  readonly commitOffset: number
  readonly suspendMs: number
  readonly subscription: string | null
  readonly subVersion: number
  readonly expressionType: string
  /** Monotonic, ms. */
  readonly arrivedMs: number
  /** Tag hashes that pass, as the last check found them; null: all. */
  tagHashes: ReadonlySet<number> | null = null
  /** SQL92, as the last check found it; null: none. */
  filter: MessageFilter | null = null
  /** As the last check found it. */
  settings: GroupSettings | null = null
  /** While held: when it is answered at the latest, monotonic ms. */
  deadlineMs = 0
  /** Held and not woken yet. */
  held: boolean = false
  /** While held: messages came that were not compared with the filter yet. */
  unchecked: boolean = false

  constructor(header: PullHeader, connection: Connection, arrivedMs: number) {
    this.connection = connection
    this.code = header.code
    this.opaque = header.opaque
    this.flag = header.commandFlag
    this.serializeType = header.serializeType
    this.version = header.version
    this.group = header.consumerGroup
    this.topic = header.topic
    this.queueId = header.queueId
    this.offset = header.queueOffset
    this.maxMessages = Math.max(1, header.maxMsgNums)
    this.sysFlag = header.sysFlag
    this.commitOffset = header.commitOffset
    this.suspendMs = header.suspendTimeoutMillis
    this.subscription = header.subscription
    this.subVersion = header.subVersion
    this.expressionType = header.expressionType
    this.arrivedMs = arrivedMs
  }
}
