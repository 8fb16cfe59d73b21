import {
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  request,
  response
} from '../../protocol/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import type { Handler } from '../dispatch/handler.ts'
import { forwardKeyName, forwardKeyRoom, wrapForwarded } from '../forward/index.ts'

/** Patience with the asker, and with the member that has it (remoting.md 2.10), ms. */
const pushTimeoutMs = 10_000
const outcomeField = 'outcome'
const clientField = 'replyToClient'

/** `absent`: no connection of that client. `failed`: it has one, and did not take the reply. */
export type PushOutcome = 'pushed' | 'failed' | 'absent'

/** What is pushed: the fields of PUSH_REPLY_MESSAGE_TO_CLIENT (326) and the reply's body. */
export interface Push {
  readonly fields: Readonly<Record<string, string>>
  readonly body: Buffer | null
}

/**
 * Brings a reply to the client that asked: over its connection here, else over the member of the group that has it. Producers
 * register with the leader they know of, which after a failover is another one until their next route poll (broker.md 5.5).
 */
export async function pushReply(
  broker: BrokerContext,
  clientId: string,
  push: Push
): Promise<PushOutcome> {
  const here = await pushHere(broker, clientId, push)
  return here === 'absent' ? await pushElsewhere(broker, clientId, push) : here
}

async function pushHere(broker: BrokerContext, clientId: string, push: Push): Promise<PushOutcome> {
  const client = broker.producers.findClient(clientId)
  if (client === undefined) return 'absent'
  const command = request(RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT, { ...push.fields }, push.body)
  try {
    const answer = await client.connection.invoke(command, pushTimeoutMs)
    if (answer.code === ResponseCode.SUCCESS) return 'pushed'
    broker.logger.debug('A client refused a reply', { clientId, code: answer.code })
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    broker.logger.debug('A reply did not reach its client', { clientId, reason })
  }
  return 'failed'
}

/** One member after the other: a client known to two of them is to get one reply. */
async function pushElsewhere(
  broker: BrokerContext,
  clientId: string,
  push: Push
): Promise<PushOutcome> {
  const key = broker.store.tables.values(forwardKeyRoom).get(forwardKeyName)
  if (key === undefined) return 'absent'
  const { clock } = broker.platform
  const deadlineMs = clock.monotonicMs() + pushTimeoutMs
  for (const { brokerAddress, connected } of broker.store.status().peers) {
    if (brokerAddress === null || brokerAddress === broker.address || !connected) continue
    const leftMs = deadlineMs - clock.monotonicMs()
    if (leftMs <= 0) return 'failed'
    const fields = { ...push.fields, [clientField]: clientId }
    const command = request(RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT, fields, push.body)
    const mark = { key, address: broker.address, heldMs: 0 }
    try {
      const answer = await broker.client.invoke(brokerAddress, wrapForwarded(command, mark), leftMs)
      const outcome = answer.extFields?.[outcomeField]
      if (outcome === 'pushed' || outcome === 'failed') return outcome
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      broker.logger.debug('A member could not be asked to push a reply', { brokerAddress, reason })
    }
  }
  return 'absent'
}

/** 326 from another member: pushes to a client that is connected here. Clients get this code from brokers and never send it. */
export const relayedPush: Handler = {
  code: RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT,
  needsLeader: false,
  async handle(command, caller, broker): Promise<RemotingCommand> {
    const { [clientField]: clientId, ...fields } = command.extFields ?? {}
    if (!caller.forwarded || clientId === undefined)
      return response(
        ResponseCode.REQUEST_CODE_NOT_SUPPORTED,
        ` request type ${command.code} not supported`
      )
    // Written at the end of the turn: what the socket delivered may be used again by then.
    const body = command.body === null ? null : Buffer.from(command.body)
    const outcome = await pushHere(broker, clientId, { fields, body })
    return response(ResponseCode.SUCCESS, null, { [outcomeField]: outcome })
  }
}
