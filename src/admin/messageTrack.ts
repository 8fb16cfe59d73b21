import {
  anyAddress,
  asError,
  ClientError,
  type ConsumerConnection,
  isRefusal,
  type ReceivedMessage,
  type TopicRoute
} from '../client/index.ts'
import { ResponseCode } from '../protocol/index.ts'
import type { CommandContext } from './command.ts'
import { connectionOf } from './groupCommands.ts'
import { consumerGroupsOf } from './topicQueries.ts'

type TrackType =
  | 'CONSUMED'
  | 'CONSUMED_BUT_FILTERED'
  | 'PULL'
  | 'NOT_CONSUME_YET'
  | 'NOT_ONLINE'
  | 'UNKNOWN'
  | 'CONSUME_BROADCASTING'

/** What became of one message, for each consumer group of its topic: `MessageTrack […]` one behind the other (mqadmin.md 6.5). */
export async function messageTracks(
  context: CommandContext,
  message: ReceivedMessage
): Promise<readonly string[]> {
  const route = await context.admin.route(message.topic)
  const tracks: string[] = []
  for (const group of await consumerGroupsOf(context, route)) {
    let track: { type: TrackType; reason: string | null }
    try {
      track = { type: await trackOf(context, route, message, group), reason: null }
    } catch (error) {
      const type = isRefusal(error, ResponseCode.CONSUMER_NOT_ONLINE) ? 'NOT_ONLINE' : 'UNKNOWN'
      track = { type, reason: reasonOf(error) }
    }
    tracks.push(
      `MessageTrack [consumerGroup=${group}, trackType=${track.type}, exceptionDesc=${track.reason ?? 'null'}]`
    )
  }
  return tracks
}

async function trackOf(
  context: CommandContext,
  route: TopicRoute,
  message: ReceivedMessage,
  group: string
): Promise<TrackType> {
  const connection = await connectionOf(context, group, null)
  if (connection.consumeType === 'CONSUME_ACTIVELY') return 'PULL'
  if (connection.messageModel === 'BROADCASTING') return 'CONSUME_BROADCASTING'
  if (!(await isConsumed(context, route, message, group))) return 'NOT_CONSUME_YET'
  return tagsExclude(connection, message) ? 'CONSUMED_BUT_FILTERED' : 'CONSUMED'
}

/** The original asks whether the store host leads now; any replica of the group will do, since their logs are the same. */
async function isConsumed(
  context: CommandContext,
  route: TopicRoute,
  message: ReceivedMessage,
  group: string
): Promise<boolean> {
  for (const broker of route.brokers) {
    const address = anyAddress(broker)
    const stored = [...broker.addresses.values()].includes(message.storeHost)
    if (address === null || (!stored && route.brokers.length > 1)) continue
    const { offsetTable } = await context.admin.offsets.consumeStats(address, group, message.topic)
    for (const [queue, offset] of offsetTable) {
      if (queue.topic !== message.topic || queue.queueId !== message.queue.queueId) continue
      if (offset.consumerOffset > message.queueOffset) return true
    }
  }
  return false
}

function tagsExclude(connection: ConsumerConnection, message: ReceivedMessage): boolean {
  const subscription = connection.subscriptionTable.get(message.topic)
  if (subscription === undefined || subscription.tagsSet.length === 0) return false
  return message.tag === null || !subscription.tagsSet.includes(message.tag)
}

function reasonOf(error: unknown): string {
  // Remarks of some servers end with a line about their documentation.
  const message = asError(error).message.split('\n')[0]!
  if (error instanceof ClientError && error.responseCode !== null) {
    return `CODE:${error.responseCode} DESC:${message}`
  }
  return message
}
