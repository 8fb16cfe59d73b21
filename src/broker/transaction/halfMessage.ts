import {
  BORN_HOST_AT,
  ByteRange,
  bornHostBytes,
  decodeStoredMessage,
  encodeProperties,
  getPropertiesRange,
  MessageProperty,
  MessageSysFlag,
  putPhysicalOffset,
  type StoredMessage,
  SystemTopic,
  storedMessageSize,
  storeHostAt,
  storeHostBytes,
  writeStoredMessage
} from '../../protocol/index.ts'
import type { MessageInput } from '../../store/index.ts'
import { hostBits } from '../retry/index.ts'

/** A half message as it lies in the log, with what was found in its properties. */
export interface HalfMessage {
  readonly bytes: Buffer
  readonly stored: StoredMessage
  /** PGROUP; '' when it names none. */
  readonly group: string
  readonly realTopic: string
  readonly realQueueId: number
}

/** Null when these bytes are no half message, or one that leads nowhere. */
export function readHalf(bytes: Buffer): HalfMessage | null {
  const stored = decodeStoredMessage(bytes)
  if (stored.topic !== SystemTopic.TRANS_HALF) return null
  const { properties } = stored
  const realTopic = properties.get(MessageProperty.REAL_TOPIC)
  const realQueueId = Number(properties.get(MessageProperty.REAL_QID))
  if (realTopic === undefined || !Number.isInteger(realQueueId) || realQueueId < 0) return null
  const group = properties.get(MessageProperty.PGROUP) ?? ''
  return { bytes, stored, group, realTopic, realQueueId }
}

/**
 * The message that a commit puts under its real topic: the half's content and properties' text, TRAN_MSG, REAL_TOPIC and REAL_QID among it, with the
 * commit bits (broker.md 5.4). The store host is ours, as with all that a broker writes: the half's may be a member that is gone.
 */
export function committedMessage(half: HalfMessage, storeHost: Buffer): MessageInput {
  const { stored } = half
  const plain = stored.sysFlag & ~MessageSysFlag.transactionMask
  return {
    ...copyOf(half, storeHost, plain | MessageSysFlag.transactionCommit),
    topic: half.realTopic,
    queueId: half.realQueueId,
    preparedTransactionOffset: stored.physicalOffset,
    properties: propertiesBytes(half)
  }
}

/** The copy for TRANS_CHECK_MAX_TIME_TOPIC of one that was asked about in vain, or is too old. */
export function givenUpMessage(half: HalfMessage, storeHost: Buffer, checks: number): MessageInput {
  return {
    ...copyOf(half, storeHost, half.stored.sysFlag),
    topic: SystemTopic.TRANS_CHECK_MAX_TIME,
    queueId: 0,
    properties: withCheckTimes(half.stored, checks)
  }
}

/** A given-up message as a half message again (RESUME_CHECK_HALF_MESSAGE): nobody was asked about it yet. */
export function resumedMessage(bytes: Buffer, storeHost: Buffer): MessageInput | null {
  const stored = decodeStoredMessage(bytes)
  if (stored.topic !== SystemTopic.TRANS_CHECK_MAX_TIME) return null
  return {
    ...copyOf({ bytes, stored }, storeHost, stored.sysFlag),
    topic: SystemTopic.TRANS_HALF,
    queueId: 0,
    properties: withCheckTimes(stored, 0)
  }
}

/** Body of CHECK_TRANSACTION_STATE: the half message in stored layout, where it lies, under its real topic and queue (remoting.md 2.9). */
export function checkBody(half: HalfMessage, checks: number): Buffer {
  const { bytes, stored } = half
  const hostAt = storeHostAt(stored.sysFlag)
  const fields = {
    topicBytes: Buffer.from(half.realTopic),
    queueId: half.realQueueId,
    flag: stored.flag,
    queueOffset: stored.queueOffset,
    sysFlag: stored.sysFlag,
    bornTimestamp: stored.bornTimestamp,
    bornHost: bornHostOf(half),
    storeTimestamp: stored.storeTimestamp,
    storeHost: bytes.subarray(hostAt, hostAt + storeHostBytes(stored.sysFlag)),
    reconsumeTimes: stored.reconsumeTimes,
    preparedTransactionOffset: stored.preparedTransactionOffset,
    body: stored.body,
    properties: withCheckTimes(stored, checks)
  }
  const body = Buffer.allocUnsafe(storedMessageSize(fields))
  writeStoredMessage(body, 0, fields)
  putPhysicalOffset(body, 0, stored.physicalOffset)
  return body
}

type Stored = Pick<HalfMessage, 'bytes' | 'stored'>

function copyOf(
  half: Stored,
  storeHost: Buffer,
  sysFlag: number
): Omit<MessageInput, 'topic' | 'queueId' | 'properties'> {
  const { stored } = half
  const bornHost = bornHostOf(half)
  return {
    flag: stored.flag,
    sysFlag: hostBits(sysFlag, bornHost, storeHost),
    bornTimestamp: stored.bornTimestamp,
    bornHost,
    storeHost,
    reconsumeTimes: stored.reconsumeTimes,
    preparedTransactionOffset: 0,
    body: stored.body
  }
}

function bornHostOf({ bytes, stored }: Stored): Buffer {
  return bytes.subarray(BORN_HOST_AT, BORN_HOST_AT + bornHostBytes(stored.sysFlag))
}

function propertiesBytes({ bytes }: HalfMessage): Buffer {
  const range = new ByteRange()
  getPropertiesRange(bytes, 0, range)
  return bytes.subarray(range.start, range.end)
}

function withCheckTimes(stored: StoredMessage, checks: number): Buffer {
  const properties = new Map(stored.properties)
  properties.set(MessageProperty.TRANSACTION_CHECK_TIMES, String(checks))
  return encodeProperties(properties)
}
