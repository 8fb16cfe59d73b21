import {
  MessageProperty,
  offsetMessageId,
  type RemotingCommand,
  RequestCode,
  request,
  storeHostAt,
  storeHostBytes
} from '../../protocol/index.ts'
import type { Connection } from '../../remoting/index.ts'
import type { ClientInfo } from '../clients/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import { checkBody, type HalfMessage } from './halfMessage.ts'

/** A producer that does not read gets no more questions until it does, bytes. */
const bufferedBytesMax = 1_048_576

/** Chooses whom to ask: the members of a group in turn (broker.md 5.4). */
export class CheckProducers {
  readonly #broker: BrokerContext
  #turn = 0

  constructor(broker: BrokerContext) {
    this.#broker = broker
  }

  /** A producer of the group is connected to this node. */
  isThere(group: string): boolean {
    return this.#living(group).length > 0
  }

  /** Null: none is there, or those that are do not read. */
  choose(group: string): Connection | null {
    const living = this.#living(group)
    for (let tried = 0; tried < living.length; tried++) {
      const { connection } = living[this.#turn++ % living.length]!
      if (connection.bufferedBytes < bufferedBytesMax) return connection
    }
    return null
  }

  #living(group: string): ClientInfo[] {
    return this.#broker.producers.members(group).filter(member => !member.connection.closed)
  }
}

/** CHECK_TRANSACTION_STATE (39) for the `checks`-th time (remoting.md 2.9); `topic` and `bname` are 5.3's. */
export function checkCommand(
  half: HalfMessage,
  checks: number,
  brokerName: string
): RemotingCommand {
  const { bytes, stored } = half
  const hostAt = storeHostAt(stored.sysFlag)
  const storeHost = bytes.subarray(hostAt, hostAt + storeHostBytes(stored.sysFlag))
  const uniqueKey = stored.properties.get(MessageProperty.UNIQ_KEY)
  const fields: Record<string, string> = {
    topic: half.realTopic,
    bname: brokerName,
    tranStateTableOffset: String(stored.queueOffset),
    commitLogOffset: String(stored.physicalOffset),
    offsetMsgId: offsetMessageId(storeHost, stored.physicalOffset)
  }
  if (uniqueKey !== undefined) {
    fields['msgId'] = uniqueKey
    fields['transactionId'] = uniqueKey
  }
  return request(RequestCode.CHECK_TRANSACTION_STATE, fields, checkBody(half, checks))
}
