import {
  optionalInt,
  optionalLong,
  optionalText,
  type RemotingCommand,
  requiredInt,
  requiredLong,
  requiredText
} from '../../protocol/index.ts'
import type { Connection, RequestHead } from '../../remoting/index.ts'
import type { MessageFilter } from '../../store/index.ts'
import type { Caller } from '../dispatch/handler.ts'

/** One POP_MESSAGE or NOTIFICATION while it is worked on or held: what its header says. */
export class PopRequest implements RequestHead {
  readonly connection: Connection
  readonly code: number
  readonly opaque: number
  readonly flag: number
  readonly serializeType: number
  readonly group: string
  readonly topic: string
  /** Negative: all queues. */
  readonly queueId: number
  readonly maxMessages: number
  readonly invisibleMs: number
  /** How long it may be held, ms; not positive: not at all. */
  readonly pollMs: number
  /** Wall clock of the client. */
  readonly bornMs: number
  /** A group without an offset begins at the end of the queue. */
  readonly fromMax: boolean
  readonly expression: string | null
  readonly expressionType: string | null
  readonly order: boolean
  readonly attemptId: string | null
  /** Monotonic, ms. */
  readonly arrivedMs: number
  /** What passes, as the last check found it. */
  tagHashes: ReadonlySet<number> | null = null
  filter: MessageFilter | null = null
  /** Set while it is held: the end of the hold (monotonic), and when a queue that is blocked for it becomes free (time of the log). */
  deadlineMs = 0
  freeMs = Number.POSITIVE_INFINITY

  constructor(request: RemotingCommand, caller: Caller, nowMs: number, wallMs: number) {
    const fields = request.extFields
    this.connection = caller.connection
    this.code = request.code
    this.opaque = request.opaque
    this.flag = request.flag
    this.serializeType = request.serializeType
    this.group = requiredText(fields, 'consumerGroup')
    this.topic = requiredText(fields, 'topic')
    this.queueId = requiredInt(fields, 'queueId')
    this.maxMessages = optionalInt(fields, 'maxMsgNums') ?? 0
    this.invisibleMs = optionalLong(fields, 'invisibleTime') ?? 0
    this.pollMs = requiredLong(fields, 'pollTime')
    this.bornMs = (optionalLong(fields, 'bornTime') ?? 0) || wallMs
    this.fromMax = (optionalInt(fields, 'initMode') ?? 0) !== 0
    this.expression = optionalText(fields, 'exp') || null
    this.expressionType = optionalText(fields, 'expType')
    this.order = optionalText(fields, 'order')?.toLowerCase() === 'true'
    this.attemptId = optionalText(fields, 'attemptId')
    this.arrivedMs = nowMs
  }
}

/** How long the leader may hold a forwarded poll, ms. */
export function pollMsOf(request: RemotingCommand): number {
  const pollMs = Number(request.extFields?.['pollTime'] ?? 0)
  return pollMs > 0 ? Math.min(pollMs, pollMsMax) : 0
}

/** No client's call lasts longer. */
export const pollMsMax = 600_000

/** Throws ProtocolError for a POP_MESSAGE that lacks what only it must have. */
export function requirePopFields(request: RemotingCommand): void {
  requiredInt(request.extFields, 'maxMsgNums')
  requiredLong(request.extFields, 'invisibleTime')
  requiredInt(request.extFields, 'initMode')
}
