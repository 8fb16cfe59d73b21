import {
  ByteRange,
  findProperty,
  MessageProperty,
  PROPERTIES_BYTES_MAX,
  RETRY_PREFIX,
  type SendHeader
} from '../../protocol/index.ts'
import { encodePair, type PropertyScan } from './propertyScan.ts'

/** Left free for TRANSACTION_CHECK_TIMES, which a check adds. */
const checkTimesBytes = 48
const uniqueKeyName = Buffer.from(MessageProperty.UNIQ_KEY)

/**
 * TRAN_MSG = true makes a half message, but not of one that a consumer sends back: a committed message keeps the property
 * (broker.md 3.10, step 8; 5.4).
 */
export function isHalf(header: SendHeader, properties: PropertyScan): boolean {
  if (!properties.isTransaction) return false
  const isRetry = properties.delayLevel > 0 || header.topic.startsWith(RETRY_PREFIX)
  return !(header.reconsumeTimes > 0 && isRetry)
}

/**
 * Adds to the scanned properties what leads a half message back: its place, and its transaction's id where it has a UNIQ_KEY, as 5.3 does.
 * Answers that id or '', or null when there is no room.
 */
export function appendHalfPairs(properties: PropertyScan, realPlace: Buffer): string | null {
  const { stored } = properties
  const value = new ByteRange()
  const id = findProperty(stored, 0, stored.length, uniqueKeyName, value)
    ? stored.toString('utf8', value.start, value.end)
    : ''
  if (!properties.append(realPlace)) return null
  if (id !== '' && !properties.append(encodePair(MessageProperty.TRANSACTION_ID, id))) return null
  return properties.length + checkTimesBytes <= PROPERTIES_BYTES_MAX ? id : null
}
