import { RETRY_PREFIX } from '../protocol/index.ts'
import { asError } from './errors.ts'
import { type ConsumerGroup, statsOf } from './group.ts'
import type { ConsumeContext } from './listener.ts'
import type { MessageQueue } from './queue.ts'
import type { ReceivedMessage } from './received.ts'
import { TraceOutcome } from './traceRecords.ts'

const SUSPEND_DEFAULT_MS = 1_000

export interface CallOutcome {
  readonly verdict: 'done' | 'later' | 'hold' | 'rollback'
  readonly context: ConsumeContext
  /** What the listener threw, as one line; null when it returned. */
  readonly thrown: string | null
  readonly durationMs: number
}

/** One call of the user's listener. Never rejects: what it throws is `later`. */
export async function callListener(
  group: ConsumerGroup,
  queue: MessageQueue,
  messages: readonly ReceivedMessage[]
): Promise<CallOutcome> {
  const { clock } = group.instance.platform
  const { namespace } = group.instance
  const plain = namespace.plainMessages(messages)
  const context: ConsumeContext = {
    queue: namespace.plainQueue(queue),
    delayLevel: 0,
    consumedCount: messages.length,
    suspendMs: SUSPEND_DEFAULT_MS
  }
  const traced = group.tracer?.consuming(plain) ?? null
  const startedMs = clock.monotonicMs()
  let verdict: CallOutcome['verdict'] = 'later'
  let thrown: string | null = null
  try {
    const said = await group.options.listener(plain, context)
    if (said !== 'later' && said !== 'hold' && said !== 'rollback') verdict = 'done'
    else if (group.options.orderly) verdict = said
  } catch (error) {
    thrown = asError(error).message
    group.instance.logger.warn('The message listener failed', {
      group: group.options.group,
      messageId: messages[0]?.messageId,
      error: asError(error).stack ?? thrown
    })
  }
  const durationMs = clock.monotonicMs() - startedMs
  const consumed = verdict === 'done' || verdict === 'hold'
  if (traced !== null) {
    const late = durationMs >= group.options.consumeTimeoutMs
    const failed = thrown === null ? TraceOutcome.failed : TraceOutcome.exception
    const outcome = late ? TraceOutcome.timeout : failed
    group.tracer?.consumed(traced, consumed, consumed ? TraceOutcome.success : outcome)
  }
  const ok = consumed ? Math.min(context.consumedCount, messages.length) : 0
  const topic = messages[0]?.topic ?? queue.topic
  statsOf(group, topic.startsWith(RETRY_PREFIX) ? queue.topic : topic).consumed(
    ok,
    messages.length - ok,
    durationMs
  )
  return { verdict, context, thrown, durationMs }
}
