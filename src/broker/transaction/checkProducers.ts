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
import type { BrokerContext } from '../dispatch/context.ts'
import { checkBody, type HalfMessage } from './halfMessage.ts'

/** A producer that does not read gets no more questions until it does, bytes. */
const bufferedBytesMax = 1_048_576

/** `nobody`: no producer of the group is connected here; `full`: those that are do not read. */
export type Candidate = Connection | 'nobody' | 'full'

/** Chooses whom to ask: the members of a group in turn (broker.md 5.4). */
export class CheckProducers {
  readonly #broker: BrokerContext
  #turn = 0

  constructor(broker: BrokerContext) {
    this.#broker = broker
  }

  choose(group: string): Candidate {
    const living = this.#broker.producers.members(group).filter(member => !member.connection.closed)
    if (living.length === 0) return 'nobody'
    for (let tried = 0; tried < living.length; tried++) {
      const { connection } = living[this.#turn++ % living.length]!
      if (connection.bufferedBytes < bufferedBytesMax) return connection
    }
    return 'full'
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
