import type { Timer } from '../platform/index.ts'
import {
  decodeProperties,
  MessageProperty,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  replyTopic,
  response
} from '../protocol/index.ts'
import { unpackBody } from './compression.ts'
import { badArgument, ClientError, closedError } from './errors.ts'
import type { ClientInstance } from './instance.ts'
import type { MessageMarks } from './outgoing.ts'
import type { ReceivedMessage } from './received.ts'

/** Requests that wait for their replies at a time. */
const REQUESTS_MAX = 10_000

interface Waiting {
  readonly timer: Timer
  resolve(reply: ReceivedMessage): void
  reject(error: Error): void
}

/** Requests of one producer and the replies that brokers push to it (broker.md 5.5). */
export class Requests {
  readonly #instance: ClientInstance
  readonly #waiting = new Map<string, Waiting>()

  constructor(instance: ClientInstance) {
    this.#instance = instance
    instance.caller.remoting.onRequest(RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT, command =>
      this.#pushed(command)
    )
  }

  /** What a request carries besides what its sender gave it. */
  marks(correlationId: string, timeoutMs: number): MessageMarks {
    return {
      sysFlag: 0,
      properties: {
        [MessageProperty.CORRELATION_ID]: correlationId,
        [MessageProperty.REPLY_TO_CLIENT]: this.#instance.clientId,
        [MessageProperty.TTL]: String(timeoutMs)
      }
    }
  }

  /** Rejects with TIMEOUT when nobody replied in time, with CLOSED after `close`. */
  wait(correlationId: string, timeoutMs: number): Promise<ReceivedMessage> {
    if (this.#waiting.size >= REQUESTS_MAX) {
      const message = `${REQUESTS_MAX} requests wait for their replies already`
      return Promise.reject(new ClientError('TOO_MANY_IN_FLIGHT', message))
    }
    return new Promise((resolve, reject) => {
      const timer = this.#instance.platform.clock.after(timeoutMs, () => {
        this.#waiting.delete(correlationId)
        reject(new ClientError('TIMEOUT', `nobody replied within ${timeoutMs} ms`))
      })
      this.#waiting.set(correlationId, { timer, resolve, reject })
    })
  }

  /** The request could not be sent: nobody waits for its reply any more. */
  giveUp(correlationId: string): void {
    this.#waiting.get(correlationId)?.timer.cancel()
    this.#waiting.delete(correlationId)
  }

  close(): void {
    for (const { timer, reject } of this.#waiting.values()) {
      timer.cancel()
      reject(closedError())
    }
    this.#waiting.clear()
  }

  /** PUSH_REPLY_MESSAGE_TO_CLIENT (326). A reply that nobody waits for any more is dropped, as in the original. */
  #pushed(command: RemotingCommand): RemotingCommand {
    const fields = command.extFields ?? {}
    const properties = decodeProperties(Buffer.from(fields['properties'] ?? ''))
    properties.set(
      MessageProperty.ARRIVE_TIME,
      String(Math.round(this.#instance.platform.clock.wallMs()))
    )
    const correlationId = properties.get(MessageProperty.CORRELATION_ID) ?? ''
    const waiting = this.#waiting.get(correlationId)
    if (waiting !== undefined) {
      this.giveUp(correlationId)
      waiting.resolve(replyMessage(fields, properties, command.body))
    }
    return response(ResponseCode.SUCCESS, null)
  }
}

/** Where the reply to a request goes, and what it carries. Throws BAD_ARGUMENT for a message that is no request. */
export function replyTo(request: ReceivedMessage): { topic: string; marks: MessageMarks } {
  const { properties } = request
  const cluster = properties.get(MessageProperty.CLUSTER)
  const asker = properties.get(MessageProperty.REPLY_TO_CLIENT)
  const correlationId = properties.get(MessageProperty.CORRELATION_ID)
  if (cluster === undefined || asker === undefined || correlationId === undefined) {
    throw badArgument(`the message ${request.messageId} is no request: nobody waits for a reply`)
  }
  return {
    topic: replyTopic(cluster),
    marks: {
      sysFlag: 0,
      properties: {
        [MessageProperty.MSG_TYPE]: 'reply',
        [MessageProperty.CORRELATION_ID]: correlationId,
        [MessageProperty.REPLY_TO_CLIENT]: asker,
        [MessageProperty.TTL]: properties.get(MessageProperty.TTL) ?? ''
      }
    }
  }
}

function replyMessage(
  fields: Readonly<Record<string, string>>,
  properties: ReadonlyMap<string, string>,
  pushed: Buffer | null
): ReceivedMessage {
  const number = (name: string): number => Number(fields[name] ?? 0) || 0
  const sysFlag = number('sysFlag')
  // The body is a view of what the socket delivered.
  const { body, undecoded } = unpackBody(Buffer.from(pushed ?? []), sysFlag)
  const topic = fields['topic'] ?? ''
  const keys = properties.get(MessageProperty.KEYS) ?? ''
  return {
    topic,
    queue: { topic, brokerName: fields['bname'] ?? '', queueId: number('queueId') },
    queueOffset: 0,
    body,
    undecoded,
    tag: properties.get(MessageProperty.TAGS) ?? null,
    keys: keys.split(' ').filter(key => key !== ''),
    properties,
    messageId: properties.get(MessageProperty.UNIQ_KEY) ?? '',
    offsetMessageId: '',
    commitLogOffset: 0,
    reconsumeTimes: number('reconsumeTimes'),
    bornTimestamp: number('bornTimestamp'),
    bornHost: fields['bornHost'] ?? '',
    storeTimestamp: number('storeTimestamp'),
    storeHost: fields['storeHost'] ?? '',
    storeSizeBytes: 0,
    bodyCrc: 0,
    flag: number('flag'),
    sysFlag,
    preparedTransactionOffset: 0
  }
}
