import {
  BatchAckMessageRequestBody,
  decodeStoredMessages,
  encodePopHandle,
  MessageProperty,
  markedTopic,
  parseOrderCounts,
  parsePopInfo,
  type RemotingCommand,
  RequestCode,
  retryMarkOf,
  type StoredMessage
} from '../../src/protocol/index.ts'
import { TestClient } from './helpers.ts'

/** A message that was popped, as a client of 5.x keeps it. */
export interface Popped {
  readonly body: string
  readonly message: StoredMessage
  /** POP_CK */
  readonly handle: string
  /** The topic whose queue holds it. */
  readonly realTopic: string
  readonly queueId: number
  readonly offset: number
  /** Deliveries in order before this one. */
  readonly orderCount: number
}

export interface PopGiven {
  group?: string
  queueId?: number
  max?: number
  invisibleMs?: number
  pollMs?: number
  bornMs?: number
  initMode?: number
  expression?: string
  expressionType?: string
  order?: boolean
  attemptId?: string
}

/** What a client of 5.x does with POP. */
export class PopClient extends TestClient {
  pop(topic: string, given: PopGiven = {}): Promise<RemotingCommand> {
    return this.ask(
      RequestCode.POP_MESSAGE,
      {
        consumerGroup: given.group ?? 'G',
        topic,
        queueId: given.queueId ?? -1,
        maxMsgNums: given.max ?? 32,
        invisibleTime: given.invisibleMs ?? 60_000,
        pollTime: given.pollMs ?? 0,
        bornTime: given.bornMs ?? 0,
        initMode: given.initMode ?? 0,
        expType: given.expressionType ?? 'TAG',
        exp: given.expression ?? '*',
        order: given.order ?? false,
        ...(given.attemptId === undefined ? {} : { attemptId: given.attemptId })
      },
      null,
      40_000
    )
  }

  /** The messages of a pop; none when it found nothing. Throws when it was refused. */
  async popped(topic: string, given: PopGiven = {}): Promise<Popped[]> {
    const answer = await this.pop(topic, given)
    if (answer.code === 210) return []
    if (answer.code !== 0) throw new Error(`${answer.code} ${answer.remark}`)
    return messagesOf(answer, topic, given.group ?? 'G')
  }

  ack(popped: Popped, group = 'G'): Promise<RemotingCommand> {
    return this.ask(RequestCode.ACK_MESSAGE, {
      consumerGroup: group,
      topic: popped.realTopic,
      queueId: popped.queueId,
      offset: popped.offset,
      extraInfo: popped.handle
    })
  }

  /** Messages of one batch. */
  ackAll(topic: string, batch: readonly Popped[], group = 'G'): Promise<RemotingCommand> {
    const [so, pt, it, rq, r] = batch[0]!.handle.split(' ')
    const bits = Buffer.alloc(16)
    for (const { offset } of batch) {
      const i = offset - Number(so)
      bits[i >> 3]! |= 1 << (i & 7)
    }
    const body = BatchAckMessageRequestBody.of({
      brokerName: 'b',
      acks: [
        {
          consumerGroup: group,
          topic,
          retry: r!,
          startOffset: Number(so),
          queueId: batch[0]!.queueId,
          reviveQueueId: Number(rq),
          popTime: Number(pt),
          invisibleTime: Number(it),
          bits
        }
      ]
    })
    return this.ask(RequestCode.BATCH_ACK_MESSAGE, null, BatchAckMessageRequestBody.encode(body))
  }

  async change(popped: Popped, invisibleMs: number, group = 'G'): Promise<Popped> {
    const answer = await this.ask(RequestCode.CHANGE_MESSAGE_INVISIBLETIME, {
      consumerGroup: group,
      topic: popped.realTopic,
      queueId: popped.queueId,
      offset: popped.offset,
      extraInfo: popped.handle,
      invisibleTime: invisibleMs
    })
    if (answer.code !== 0) throw new Error(`${answer.code} ${answer.remark}`)
    const { popTime, invisibleTime, reviveQid } = answer.extFields ?? {}
    if (popTime === undefined) return popped
    const [so, , , , mark, broker, queueId] = popped.handle.split(' ')
    const start = reviveQid === '999' ? so : popped.offset
    const handle = `${start} ${popTime} ${invisibleTime} ${reviveQid} ${mark} ${broker} ${queueId} ${popped.offset}`
    return { ...popped, handle }
  }

  /** Pops until nothing comes any more; acknowledges everything. */
  async drain(topic: string, given: PopGiven = {}): Promise<string[]> {
    const bodies: string[] = []
    for (;;) {
      const batch = await this.popped(topic, given)
      if (batch.length === 0) return bodies
      for (const popped of batch) {
        bodies.push(popped.body)
        await this.ack(popped, given.group)
      }
    }
  }
}

/** As a client takes an answer apart: the texts of the header give each message its handle. */
export function messagesOf(answer: RemotingCommand, topic: string, group: string): Popped[] {
  const fields = answer.extFields!
  const infos = parsePopInfo(fields['startOffsetInfo']!, fields['msgOffsetInfo']!)
  const counts = parseOrderCounts(fields['orderCountInfo'] ?? '')
  return decodeStoredMessages(answer.body!).map(message => {
    const own = message.properties.get(MessageProperty.POP_CK)
    const { queueId, queueOffset: offset } = message
    const topicMark = retryMarkOf(message.topic)
    const info = infos.find(
      each => each.mark === topicMark && each.queueId === queueId && each.offsets.includes(offset)
    )
    const handle =
      own ??
      encodePopHandle({
        startOffset: info!.startOffset,
        popTime: Number(fields['popTime']),
        invisibleMs: Number(fields['invisibleTime']),
        reviveQueueId: Number(fields['reviveQid']),
        mark: info!.mark,
        brokerName: 'b',
        queueId,
        offset
      })
    const mark = handle.split(' ')[4]!
    return {
      body: message.body.toString(),
      message,
      handle,
      realTopic: markedTopic(topic, group, mark),
      queueId,
      offset,
      orderCount: counts.get(`${mark} qo${queueId}%${offset}`) ?? 0
    }
  })
}
