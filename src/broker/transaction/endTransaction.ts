import {
  MessageProperty,
  MessageSysFlag,
  optionalBoolean,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  requiredInt,
  requiredLong,
  requiredText,
  response
} from '../../protocol/index.ts'
import type { AppendRefusal } from '../../store/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import type { Handler } from '../dispatch/handler.ts'
import type { Endings } from './endings.ts'
import { committedMessage, type HalfMessage, readHalf } from './halfMessage.ts'

const notFound = 'Find prepared transaction message failed'

interface End {
  group: string
  halfQueueOffset: number
  physicalOffset: number
  commits: boolean
  fromCheck: boolean
}

/**
 * END_TRANSACTION (37): a producer's decision. Clients send it one-way, and nobody tells them what came of it. Codes and remarks: broker.md 5.4.
 * Unlike the original a transaction ends once: a second end finds none in doubt.
 */
export function endTransaction(endings: Endings): Handler {
  return {
    code: RequestCode.END_TRANSACTION,
    needsLeader: true,
    repeatable: true,
    handle(request, caller, broker) {
      const fields = request.extFields
      const decision = requiredInt(fields, 'commitOrRollback')
      const end = {
        group: requiredText(fields, 'producerGroup'),
        halfQueueOffset: requiredLong(fields, 'tranStateTableOffset'),
        physicalOffset: requiredLong(fields, 'commitLogOffset'),
        commits: decision === MessageSysFlag.transactionCommit,
        fromCheck: optionalBoolean(fields, 'fromTransactionCheck') ?? false
      }
      // No decision: no answer, but the member that forwarded it must not wait for one.
      if (!end.commits && decision !== MessageSysFlag.transactionRollback)
        return caller.forwarded ? response(ResponseCode.SUCCESS) : null
      if (endings.size >= broker.config.values.endTransactionPoolQueueCapacity)
        return response(ResponseCode.SYSTEM_BUSY, 'too many transactions are being ended')
      return endings.alone(end.physicalOffset, () => carryOut(end, endings, broker))
    }
  }
}

async function carryOut(
  end: End,
  endings: Endings,
  broker: BrokerContext
): Promise<RemotingCommand> {
  const bytes = await broker.store.messageAt(end.physicalOffset)
  const half = bytes === null ? null : readHalf(bytes)
  if (half === null) return response(ResponseCode.SYSTEM_ERROR, notFound)
  const refusal = refusalOf(end, half, broker)
  if (refusal !== null) return refusal
  const message = end.commits ? committedMessage(half, broker.storeHost) : null
  const ending = await endings.close(end.physicalOffset, message)
  if (ending === 'ended') return response(ResponseCode.SUCCESS)
  if (ending === 'notInDoubt') return response(ResponseCode.SYSTEM_ERROR, notFound)
  return refused(ending.open)
}

function refusalOf(end: End, half: HalfMessage, broker: BrokerContext): RemotingCommand | null {
  const { stored } = half
  const immunityMs = immunityOf(half, broker.config.values.transactionTimeOut)
  const ageMs = broker.store.timeMs() - stored.storeTimestamp
  // 5.3: too late for a decision of its own; the check decides.
  if (!end.fromCheck && immunityMs !== null && ageMs > immunityMs)
    return response(ResponseCode.ILLEGAL_OPERATION)
  if (half.group !== end.group)
    return response(ResponseCode.SYSTEM_ERROR, 'The producer group wrong')
  if (stored.queueOffset !== end.halfQueueOffset)
    return response(ResponseCode.SYSTEM_ERROR, 'The transaction state table offset wrong')
  if (stored.physicalOffset !== end.physicalOffset)
    return response(ResponseCode.SYSTEM_ERROR, 'The commit log offset wrong')
  return null
}

/** The message's own time, ms; the broker's where that is no number or -1. Null: it names none. */
function immunityOf({ stored }: HalfMessage, timeOutMs: number): number | null {
  const text = stored.properties.get(MessageProperty.CHECK_IMMUNITY_TIME_IN_SECONDS) ?? ''
  if (text === '') return null
  const seconds = /^[+-]?\d{1,15}$/.test(text) ? Number(text) : -1
  return seconds === -1 ? timeOutMs : seconds * 1_000
}

/** As the original maps what its store says (broker.md 3.8, 5.4). */
function refused(reason: AppendRefusal): RemotingCommand {
  switch (reason) {
    case 'busy':
      return response(ResponseCode.SYSTEM_ERROR, 'OS page cache busy, please try another machine')
    case 'tooLarge':
    case 'illegal':
      return response(
        ResponseCode.MESSAGE_ILLEGAL,
        'The message is illegal, maybe msg body or properties length not matched'
      )
    default:
      return response(ResponseCode.SERVICE_NOT_AVAILABLE, 'Service not available now.')
  }
}
