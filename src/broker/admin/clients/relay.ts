import {
  type RemotingCommand,
  ResponseCode,
  request,
  response,
  Version,
  versionName
} from '../../../protocol/index.ts'
import { RemotingError } from '../../../remoting/index.ts'
import type { BrokerContext } from '../../dispatch/context.ts'
import { systemError } from '../refusals.ts'

/** Patience with a client that is asked on behalf of a tool (remoting.md 2.10), ms. */
const relayTimeoutMs = 10_000

/**
 * Asks one client of a group what a tool asked, and gives its answer back as it is: not every client writes proper JSON, so bodies stay
 * bytes (remoting.md 2.10). How many may wait on one connection is remoting's limit.
 */
export async function relayToConsumer(
  to: { group: string; clientId: string },
  question: { code: number; fields: Record<string, string>; body: Buffer | null },
  broker: BrokerContext
): Promise<RemotingCommand> {
  const { group, clientId } = to
  const client = broker.consumers.findMember(group, clientId)
  if (client === undefined) return systemError(`The Consumer <${group}> <${clientId}> not online`)
  if (client.version < Version.V3_1_8_SNAPSHOT)
    return systemError(
      `The Consumer <${clientId}> Version <${versionName(client.version)}> too low to finish, please upgrade it to V3_1_8_SNAPSHOT`
    )
  try {
    const answer = await client.connection.invoke(
      request(question.code, question.fields, question.body),
      relayTimeoutMs
    )
    return response(answer.code, answer.remark, answer.extFields, answer.body)
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    if (error instanceof RemotingError && error.code === 'LMQ_REQUEST_TIMEOUT')
      return response(
        ResponseCode.CONSUME_MSG_TIMEOUT,
        `consumer <${group}> <${clientId}> Timeout: ${text}`
      )
    return systemError(`invoke consumer <${group}> <${clientId}> Exception: ${text}`)
  }
}
