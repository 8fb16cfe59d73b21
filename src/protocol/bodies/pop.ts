import { bean } from '../json/bean.ts'
import { absent, bad, type Form, integer, list, type Of, text } from '../json/schema.ts'
import type { JsonObject, JsonValue } from '../json/value.ts'

/** What a batch acknowledgement says about one pop; long names are read too. */
export const BatchAck = {
  read(value: JsonValue | undefined, path: string): BatchAck {
    if (absent(value) || typeof value !== 'object' || Array.isArray(value))
      throw bad(path, 'an object')
    const fields = value as JsonObject
    const of = <T>(form: Form<T>, short: string, long: string): T => {
      return form.read(fields[short] ?? fields[long], `${path}.${short}`)
    }
    return {
      consumerGroup: of(text(), 'c', 'consumerGroup'),
      topic: of(text(), 't', 'topic'),
      retry: of(text('0'), 'r', 'retry'),
      startOffset: of(integer(), 'so', 'startOffset'),
      queueId: of(integer(), 'q', 'queueId'),
      reviveQueueId: of(integer(), 'rq', 'reviveQueueId'),
      popTime: of(integer(), 'pt', 'popTime'),
      invisibleTime: of(integer(), 'it', 'invisibleTime'),
      bits: Buffer.from(of(text(), 'b', 'bitSet'), 'base64')
    }
  },
  write(ack: BatchAck): string {
    return JSON.stringify({
      b: ack.bits.toString('base64'),
      c: ack.consumerGroup,
      it: ack.invisibleTime,
      pt: ack.popTime,
      q: ack.queueId,
      r: ack.retry,
      rq: ack.reviveQueueId,
      so: ack.startOffset,
      t: ack.topic
    })
  }
} as const satisfies Form<BatchAck>
export interface BatchAck {
  consumerGroup: string
  /** The one that was popped; `retry` says whether the messages lie in its retry topic. */
  topic: string
  retry: string
  startOffset: number
  queueId: number
  reviveQueueId: number
  popTime: number
  invisibleTime: number
  /** Java's BitSet: bit i of byte j is offset `startOffset` + 8j + i. */
  bits: Buffer
}

/** Body of BATCH_ACK_MESSAGE (200151). */
export const BatchAckMessageRequestBody = bean('BatchAckMessageRequestBody', {
  acks: list(BatchAck),
  brokerName: text()
})
export type BatchAckMessageRequestBody = Of<typeof BatchAckMessageRequestBody>
