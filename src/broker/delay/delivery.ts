import {
  BORN_HOST_AT,
  ByteRange,
  bornHostBytes,
  findProperty,
  getBodyRange,
  getBornTimestamp,
  getFlag,
  getPreparedTransactionOffset,
  getPropertiesRange,
  getReconsumeTimes,
  getSysFlag,
  MessageProperty,
  SystemTopic
} from '../../protocol/index.ts'
import type { MessageInput } from '../../store/index.ts'
import { hostBits } from '../retry/index.ts'

const realTopicName = Buffer.from(MessageProperty.REAL_TOPIC)
const realQueueName = Buffer.from(MessageProperty.REAL_QID)

/**
 * A message that waited, as it comes back: the same, under its real topic and queue, with its properties' text as it is. Null: it
 * does not say where it belongs, or belongs to those that wait.
 */
export function deliveryOf(stored: Buffer, storeHost: Buffer): MessageInput | null {
  const body = new ByteRange()
  const properties = new ByteRange()
  const value = new ByteRange()
  getBodyRange(stored, 0, body)
  getPropertiesRange(stored, 0, properties)
  if (!findProperty(stored, properties.start, properties.end, realTopicName, value)) return null
  const topic = stored.toString('utf8', value.start, value.end)
  if (!findProperty(stored, properties.start, properties.end, realQueueName, value)) return null
  const queueId = Number(stored.toString('latin1', value.start, value.end))
  if (!Number.isInteger(queueId) || queueId < 0) return null
  if (topic === SystemTopic.SCHEDULE || topic === SystemTopic.TIMER) return null
  const sysFlag = getSysFlag(stored, 0)
  const bornHost = stored.subarray(BORN_HOST_AT, BORN_HOST_AT + bornHostBytes(sysFlag))
  return {
    topic,
    queueId,
    flag: getFlag(stored, 0),
    sysFlag: hostBits(sysFlag, bornHost, storeHost),
    bornTimestamp: getBornTimestamp(stored, 0),
    bornHost,
    storeHost,
    reconsumeTimes: getReconsumeTimes(stored, 0),
    preparedTransactionOffset: getPreparedTransactionOffset(stored, 0),
    body: stored.subarray(body.start, body.end),
    properties: stored.subarray(properties.start, properties.end)
  }
}
