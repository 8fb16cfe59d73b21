import {
  QueryAssignmentRequestBody,
  QueryAssignmentResponseBody,
  RETRY_PREFIX,
  RequestCode,
  ResponseCode,
  response,
  SetMessageRequestModeRequestBody
} from '../../protocol/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import type { Handler } from '../dispatch/handler.ts'
import { assign } from './allocate.ts'
import { SubscribeRoutes } from './routes.ts'

/** Where the modes of SET_MESSAGE_REQUEST_MODE are kept, by `topic@group`. */
const modesRoom = 'messageRequestMode'
/** Pairs of topic and group that have a mode of their own. */
const modesMax = 100_000

interface RequestMode {
  readonly mode: 'PULL' | 'POP'
  readonly popShareQueueNum: number
}

/** How the clients of a group read a topic, and which queues each of them has: 400 and 401 (remoting.md 2.5, broker.md 4.9). */
export function assignmentHandlers(broker: BrokerContext): Handler[] {
  const routes = new SubscribeRoutes(broker)
  return [queryAssignment(routes), setMessageRequestMode]
}

/** QUERY_ASSIGNMENT (400): every member answers by the clients that it hears. Without the list the client keeps what it has. */
function queryAssignment(routes: SubscribeRoutes): Handler {
  return {
    code: RequestCode.QUERY_ASSIGNMENT,
    needsLeader: false,
    async handle(request, _caller, broker) {
      const body = QueryAssignmentRequestBody.decode(request.body)
      const { mode, popShareQueueNum } = modeOf(broker, body.topic, body.consumerGroup)
      const share = mode === 'POP' ? popShareQueueNum : null
      const queues = await assignedTo(broker, routes, body, share)
      const answer = QueryAssignmentResponseBody.of(
        queues === null
          ? {}
          : { messageQueueAssignments: queues.map(messageQueue => ({ messageQueue, mode })) }
      )
      return response(ResponseCode.SUCCESS, null, null, QueryAssignmentResponseBody.encode(answer))
    }
  }
}

async function assignedTo(
  broker: BrokerContext,
  routes: SubscribeRoutes,
  body: QueryAssignmentRequestBody,
  share: number | null
) {
  const queues = await routes.queuesOf(body.topic)
  if (queues === null) return null
  if (body.messageModel === 'BROADCASTING') return queues
  if (!broker.config.values.serverLoadBalancerEnable) return queues
  const group = broker.consumers.find(body.consumerGroup)
  if (group === undefined) return null
  const clients = [...new Set([...group.members.values()].map(({ clientId }) => clientId))]
  return assign(body.strategyName, queues, body.clientId, clients, share)
}

function modeOf(broker: BrokerContext, topic: string, group: string): RequestMode {
  const set = broker.store.tables.values(modesRoom).get(`${topic}@${group}`)
  if (set !== undefined) return JSON.parse(set) as RequestMode
  const { defaultMessageRequestMode, defaultPopShareQueueNum } = broker.config.values
  // Retry topics are pulled.
  const mode = topic.startsWith(RETRY_PREFIX) ? 'PULL' : defaultMessageRequestMode
  return { mode, popShareQueueNum: mode === 'POP' ? defaultPopShareQueueNum : 0 }
}

/** The broker itself knows where the group is in the topic: its clients have no offsets to be told. */
export function readsByPop(broker: BrokerContext, topic: string, group: string): boolean {
  return (
    broker.consumers.find(group)?.consumeType === 'CONSUME_POP' ||
    modeOf(broker, topic, group).mode === 'POP'
  )
}

/** SET_MESSAGE_REQUEST_MODE (401), mqadmin's setConsumeMode. In the log: all members answer 400 alike. */
const setMessageRequestMode: Handler = {
  code: RequestCode.SET_MESSAGE_REQUEST_MODE,
  needsLeader: true,
  repeatable: true,
  async handle(request, _caller, broker) {
    const { topic, consumerGroup, mode, popShareQueueNum } =
      SetMessageRequestModeRequestBody.decode(request.body)
    if (topic.startsWith(RETRY_PREFIX))
      return response(ResponseCode.NO_PERMISSION, 'retry topic is not allowed to set mode')
    if (broker.topics.find(topic) === undefined)
      return response(ResponseCode.TOPIC_NOT_EXIST, `topic[${topic}] not exist`)
    if (broker.groups.findOrDefault(consumerGroup) === undefined)
      return response(
        ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST,
        'subscription group does not exist'
      )
    const key = `${topic}@${consumerGroup}`
    const modes = broker.store.tables.values(modesRoom)
    if (modes.size >= modesMax && !modes.has(key))
      return response(ResponseCode.SYSTEM_ERROR, `${modesMax} modes are set already`)
    const value = JSON.stringify({ mode, popShareQueueNum } satisfies RequestMode)
    await broker.store.execute({ type: 'putValue', room: modesRoom, key, value })
    return response(ResponseCode.SUCCESS)
  }
}
