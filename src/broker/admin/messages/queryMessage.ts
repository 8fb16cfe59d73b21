import {
  FRAME_BYTES_MAX,
  optionalBoolean,
  RequestCode,
  ResponseCode,
  requiredInt,
  requiredLong,
  requiredText,
  response
} from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'

/** Room that the answer's header takes of a frame, bytes. */
const headerRoomBytes = 65_536

/** QUERY_MESSAGE (12): by key, or by unique key with `_UNIQUE_KEY_QUERY`. Facts: remoting.md 2.12. */
export const queryMessage: Handler = {
  code: RequestCode.QUERY_MESSAGE,
  needsLeader: false,
  async handle(request, _caller, broker) {
    const fields = request.extFields
    const { defaultQueryMaxNum, maxMsgsNumBatch } = broker.config.values
    const wanted =
      optionalBoolean(fields, '_UNIQUE_KEY_QUERY') === true
        ? defaultQueryMaxNum
        : requiredInt(fields, 'maxNum')
    const found = await broker.store.query({
      topic: requiredText(fields, 'topic'),
      key: requiredText(fields, 'key'),
      maxMessages: Math.max(1, Math.min(wanted, maxMsgsNumBatch)),
      beginTimestamp: requiredLong(fields, 'beginTimestamp'),
      endTimestamp: requiredLong(fields, 'endTimestamp')
    })
    const position = {
      indexLastUpdateTimestamp: String(found.lastUpdateTimestamp),
      indexLastUpdatePhyoffset: String(found.lastUpdatePhysicalOffset)
    }
    if (found.messages.length === 0)
      return response(
        ResponseCode.QUERY_NOT_FOUND,
        'can not find message, maybe time range not correct',
        position
      )
    const body = Buffer.concat(newestThatFit(found.messages))
    return response(ResponseCode.SUCCESS, null, position, body)
  }
}

/** Large messages may be more than a frame holds: the oldest stay away. */
function newestThatFit(messages: readonly Buffer[]): readonly Buffer[] {
  let bytes = 0
  let first = messages.length
  while (first > 0) {
    bytes += messages[first - 1]!.length
    if (bytes > FRAME_BYTES_MAX - headerRoomBytes && first < messages.length) break
    first--
  }
  return messages.slice(first)
}
