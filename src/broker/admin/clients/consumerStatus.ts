import {
  request as clientRequest,
  GetConsumerStatusBody,
  optionalText,
  type QueueTable,
  RequestCode,
  ResponseCode,
  requiredText,
  Version,
  versionName
} from '../../../protocol/index.ts'
import type { ClientInfo } from '../../clients/index.ts'
import type { BrokerContext } from '../../dispatch/context.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { success, systemError } from '../refusals.ts'

const clientTimeoutMs = 5_000
/** Members asked at the same time. */
const parallelMax = 64

/** INVOKE_BROKER_TO_GET_CONSUMER_STATUS (223): asks the members, or one of them, for their offsets of a topic (221). */
export const consumerStatus: Handler = {
  code: RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS,
  needsLeader: false,
  async handle(request, _caller, broker) {
    const group = requiredText(request.extFields, 'group')
    const fields = { topic: requiredText(request.extFields, 'topic'), group }
    const only = optionalText(request.extFields, 'clientAddr') ?? ''
    const members = [...(broker.consumers.find(group)?.members.values() ?? [])].filter(
      member => only === '' || member.clientId === only
    )
    if (members.length === 0)
      return systemError(`No Any Consumer online in the consumer group: [${group}]`)
    const old = members.find(member => member.version < Version.V3_0_7_SNAPSHOT)
    if (old !== undefined)
      return systemError(
        `the client does not support this feature. version=${versionName(old.version)}`
      )
    const consumerTable = new Map<string, QueueTable<number>>()
    for (let i = 0; i < members.length; i += parallelMax)
      await Promise.all(
        members.slice(i, i + parallelMax).map(async member => {
          const table = await offsetsOf(member, fields, broker)
          if (table !== null) consumerTable.set(member.clientId, table)
        })
      )
    return success(GetConsumerStatusBody.encode({ consumerTable, messageQueueTable: [] }))
  }
}

/** Null: it did not say. The others' answers are worth having all the same. */
async function offsetsOf(
  member: ClientInfo,
  fields: { topic: string; group: string },
  broker: BrokerContext
): Promise<QueueTable<number> | null> {
  try {
    const answer = await member.connection.invoke(
      clientRequest(RequestCode.GET_CONSUMER_STATUS_FROM_CLIENT, fields),
      clientTimeoutMs
    )
    if (answer.code !== ResponseCode.SUCCESS || answer.body === null) return null
    return GetConsumerStatusBody.decode(answer.body).messageQueueTable
  } catch (error) {
    broker.logger.warn('Client did not tell its offsets', {
      group: fields.group,
      clientId: member.clientId,
      reason: error instanceof Error ? error.message : String(error)
    })
    return null
  }
}
