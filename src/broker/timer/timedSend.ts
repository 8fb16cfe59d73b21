import {
  ByteRange,
  findProperty,
  MessageProperty,
  RETRY_PREFIX,
  ResponseCode
} from '../../protocol/index.ts'
import type { LiveConfig } from '../config/index.ts'
import { encodePair, type PropertyScan } from '../send/propertyScan.ts'
import { recallHandle } from './handle.ts'

const msPerSecond = 1_000
const longText = /^[+-]?\d{1,19}$/
const uniqueKeyName = Buffer.from(MessageProperty.UNIQ_KEY)

/** What came of a message that names a time. */
export type Timing =
  /** Its time is over: it goes the ordinary way. */
  | { kind: 'now' }
  /** Its properties lead to the timer topic now. The handle recalls it; null when it has no UNIQ_KEY or is a retry. */
  | { kind: 'later'; handle: string | null }
  | { kind: 'refused'; code: number; remark: string }
  /** Its properties do not fit any more. */
  | { kind: 'tooLong' }

/**
 * The due time that the properties ask for: the first of TIMER_DELAY_SEC, TIMER_DELAY_MS, TIMER_DELIVER_MS counts (broker.md 5.3).
 * Null: no number.
 */
export function dueTime(wishes: ReadonlyMap<string, string>, nowMs: number): number | null {
  const seconds = wishes.get(MessageProperty.TIMER_DELAY_SEC)
  if (seconds !== undefined) return shifted(nowMs, seconds, msPerSecond)
  const delay = wishes.get(MessageProperty.TIMER_DELAY_MS)
  if (delay !== undefined) return shifted(nowMs, delay, 1)
  return shifted(0, wishes.get(MessageProperty.TIMER_DELIVER_MS) ?? '', 1)
}

function shifted(fromMs: number, text: string, unitMs: number): number | null {
  return longText.test(text) ? fromMs + Number(text) * unitMs : null
}

/** TIMER_OUT_MS: rounded down, and an exact multiple one step earlier, as the original's wheel has it. */
export function slotTime(dueMs: number, precisionMs: number): number {
  return (Math.ceil(dueMs / precisionMs) - 1) * precisionMs
}

/**
 * Decides about a scanned message that names a time, and adds the pairs of one that has to wait: its place, the original's
 * TIMER_OUT_MS, and TIMER_DELIVER_MS, the time to the millisecond at which this broker delivers it (store/timers.ts).
 */
export function timeMessage(
  scan: PropertyScan,
  place: { topic: string; realPlace: Buffer },
  config: LiveConfig,
  nowMs: number
): Timing {
  const { values, settings } = config
  if (!values.timerWheelEnable)
    return {
      kind: 'refused',
      code: ResponseCode.SYSTEM_ERROR,
      remark: 'accurate timer message is not enabled, timerWheelEnable is false'
    }
  const wishes = scan.timers!
  const maxMs = values.timerMaxDelaySec * msPerSecond
  const dueMs = dueTime(wishes, nowMs)
  // A tombstone of the original's wheel; here RECALL_MESSAGE (370) takes a message back.
  if (dueMs === null || dueMs - nowMs > maxMs || wishes.has(MessageProperty.TIMER_DEL_UNIQKEY))
    return {
      kind: 'refused',
      code: ResponseCode.MESSAGE_ILLEGAL,
      remark: `timer message illegal, the delay time should not be bigger than the max delay ${maxMs}ms; or if set del msg, the delay time should be bigger than the current time`
    }
  if (dueMs <= nowMs) return { kind: 'now' }
  const { stored } = scan
  const value = new ByteRange()
  const key = findProperty(stored, 0, stored.length, uniqueKeyName, value)
    ? stored.toString('utf8', value.start, value.end)
    : null
  const outText = String(slotTime(dueMs, values.timerPrecisionMs))
  const pairs = Buffer.concat([
    encodePair(MessageProperty.TIMER_DELIVER_MS, String(dueMs)),
    encodePair(MessageProperty.TIMER_OUT_MS, outText),
    place.realPlace
  ])
  if (!scan.append(pairs)) return { kind: 'tooLong' }
  const { topic } = place
  if (key === null || topic.startsWith(RETRY_PREFIX)) return { kind: 'later', handle: null }
  const handle = recallHandle({ topic, brokerName: settings.brokerName, dueMs, uniqueKey: key })
  return { kind: 'later', handle }
}
