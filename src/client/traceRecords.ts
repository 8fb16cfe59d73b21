/**
 * Records of the message trace as RocketMQ's clients write them and its tools read them (broker.md 5.6): fields between 01,
 * each record ended by 02. What is not known is the word "null", as Java prints it.
 */
const FIELD_END = '\u0001'
const RECORD_END = '\u0002'

/** Kinds of messages, numbered as in the records. */
export const TraceMessageKind = { normal: 0, half: 1, commit: 2, delay: 3 } as const

/** How a listener's call ended, numbered as in the records. */
export const TraceOutcome = { success: 0, timeout: 1, exception: 2, failed: 4 } as const

/** One message in a record. */
export interface TracedMessage {
  readonly topic: string
  readonly messageId: string
  readonly tags: string | null
  readonly keys: string | null
}

export interface PublishTrace extends TracedMessage {
  /** ms since 1970 at which the attempt began. */
  readonly timeMs: number
  readonly region: string
  readonly group: string
  /** `host:port` of the broker. */
  readonly storeHost: string
  /** As sent: compressed when it was. */
  readonly bodyBytes: number
  readonly costMs: number
  readonly kind: number
  readonly offsetMessageId: string
  readonly success: boolean
}

export function publishRecord(trace: PublishTrace): string {
  return record(
    'Pub',
    trace.timeMs,
    trace.region,
    trace.group,
    trace.topic,
    trace.messageId,
    trace.tags,
    trace.keys,
    trace.storeHost,
    trace.bodyBytes,
    trace.costMs,
    trace.kind,
    trace.offsetMessageId,
    trace.success
  )
}

export interface ConsumeTrace {
  readonly timeMs: number
  readonly region: string
  readonly group: string
  /** Joins the records before and after a call. */
  readonly requestId: string
}

export function beforeConsumeRecord(
  trace: ConsumeTrace,
  message: TracedMessage,
  retryTimes: number
): string {
  const { timeMs, region, group, requestId } = trace
  return record(
    'SubBefore',
    timeMs,
    region,
    group,
    requestId,
    message.messageId,
    retryTimes,
    message.keys
  )
}

export function afterConsumeRecord(
  trace: ConsumeTrace,
  message: TracedMessage,
  end: { readonly costMs: number; readonly success: boolean; readonly outcome: number }
): string {
  return record(
    'SubAfter',
    trace.requestId,
    message.messageId,
    end.costMs,
    end.success,
    message.keys,
    end.outcome,
    trace.timeMs,
    trace.group
  )
}

export interface EndTransactionTrace extends TracedMessage {
  readonly timeMs: number
  readonly region: string
  readonly group: string
  readonly storeHost: string
  readonly transactionId: string
  readonly verdict: 'COMMIT_MESSAGE' | 'ROLLBACK_MESSAGE' | 'UNKNOW'
  readonly fromCheck: boolean
}

export function endTransactionRecord(trace: EndTransactionTrace): string {
  return record(
    'EndTransaction',
    trace.timeMs,
    trace.region,
    trace.group,
    trace.topic,
    trace.messageId,
    trace.tags,
    trace.keys,
    trace.storeHost,
    TraceMessageKind.commit,
    trace.transactionId,
    trace.verdict,
    trace.fromCheck
  )
}

export interface RecallTrace {
  readonly timeMs: number
  readonly region: string
  readonly group: string
  readonly topic: string
  readonly messageId: string
  readonly success: boolean
}

export function recallRecord(trace: RecallTrace): string {
  const { timeMs, region, group, topic, messageId, success } = trace
  return record('Recall', timeMs, region, group, topic, messageId, success)
}

function record(...fields: readonly (string | number | boolean | null)[]): string {
  // Not join: it leaves null out.
  return fields.map(String).join(FIELD_END) + RECORD_END
}
