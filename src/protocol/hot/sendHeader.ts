import type { RemotingCommand } from '../command.ts'
import {
  optionalBoolean,
  optionalInt,
  optionalText,
  requiredInt,
  requiredLong,
  requiredText
} from '../fields.ts'
import type { Frame } from '../frame.ts'
import { RequestCode } from '../requestCodes.ts'
import { readBoolean, readInt, readLong } from './decimal.ts'
import { HotHeader } from './hotHeader.ts'
import { names } from './names.ts'
import { scanHeader } from './scanHeader.ts'

const EMPTY = Buffer.alloc(0)

/**
 * Header of a send: 310, 320, 325 with short field names, 10 and 324 with long ones (remoting.md 2.3). Reused: everything here is valid
 * until the next scan into the same object, and the properties also only until the next scan of any header.
 */
export class SendHeader extends HotHeader {
  producerGroup = ''
  topic = ''
  /** Template for auto creation, TBW102. */
  defaultTopic = ''
  defaultTopicQueueNums = 0
  /** Below 0: the broker chooses. */
  queueId = 0
  /** Message flags (MessageSysFlag). */
  sysFlag = 0
  /** ms since 1970, the client's clock. */
  bornTimestamp = 0
  /** The user's flag, stored as it is. */
  flag = 0
  /** The properties' unescaped UTF-8 is `propertiesSource[propertiesAt, propertiesAt + propertiesBytes)`. */
  propertiesSource: Buffer = EMPTY
  propertiesAt = 0
  propertiesBytes = 0
  reconsumeTimes = 0
  unitMode: boolean = false
  /** null: not in the request. */
  maxReconsumeTimes: number | null = null
  /** The body is a batch (remoting.md 4.5); this field decides, not the code. */
  batch: boolean = false
  #seen = 0
  #longNames: boolean = false

  /** A view of the properties; empty when there are none. */
  get properties(): Buffer {
    return this.propertiesSource.subarray(
      this.propertiesAt,
      this.propertiesAt + this.propertiesBytes
    )
  }

  override reset(): void {
    this.producerGroup = ''
    this.topic = ''
    this.defaultTopic = ''
    this.defaultTopicQueueNums = 0
    this.queueId = 0
    this.sysFlag = 0
    this.bornTimestamp = 0
    this.flag = 0
    this.propertiesSource = EMPTY
    this.propertiesAt = 0
    this.propertiesBytes = 0
    this.reconsumeTimes = 0
    this.unitMode = false
    this.maxReconsumeTimes = null
    this.batch = false
    this.#seen = 0
    this.#longNames = false
  }

  override setField(
    keySource: Buffer,
    keyAt: number,
    keyBytes: number,
    bytes: Buffer,
    at: number,
    length: number
  ): boolean {
    if (keyBytes === 1) return this.setShort(keySource[keyAt]!, bytes, at, length)
    const short = shortNames.get(names.text(keySource, keyAt, keyBytes))
    if (short === undefined) return true
    this.#longNames = true
    return this.setShort(short, bytes, at, length)
  }

  /** No #method: Node.js 20 checks the brand of the object at each call of one. */
  private setShort(short: number, bytes: Buffer, at: number, length: number): boolean {
    let number = 0
    switch (short) {
      case 0x61:
        this.producerGroup = names.text(bytes, at, length)
        break
      case 0x62:
        this.topic = names.text(bytes, at, length)
        break
      case 0x63:
        this.defaultTopic = names.text(bytes, at, length)
        break
      case 0x64:
        number = this.defaultTopicQueueNums = readInt(bytes, at, length)
        break
      case 0x65:
        number = this.queueId = readInt(bytes, at, length)
        break
      case 0x66:
        number = this.sysFlag = readInt(bytes, at, length)
        break
      case 0x67:
        number = this.bornTimestamp = readLong(bytes, at, length)
        break
      case 0x68:
        number = this.flag = readInt(bytes, at, length)
        break
      case 0x69:
        this.propertiesSource = bytes
        this.propertiesAt = at
        this.propertiesBytes = length
        return true
      case 0x6a:
        number = this.reconsumeTimes = readInt(bytes, at, length)
        return !Number.isNaN(number)
      case 0x6b:
        this.unitMode = readBoolean(bytes, at, length)
        return true
      case 0x6c:
        number = this.maxReconsumeTimes = readInt(bytes, at, length)
        return !Number.isNaN(number)
      case 0x6d:
        this.batch = readBoolean(bytes, at, length)
        return true
      default:
        return true
    }
    this.#seen |= 1 << (short - 0x61)
    return !Number.isNaN(number)
  }

  override complete(): boolean {
    return this.#seen === REQUIRED && this.#longNames === usesLongNames(this.code)
  }
}

/** Fields a to h. */
const REQUIRED = 0xff

const longNames = [
  'producerGroup',
  'topic',
  'defaultTopic',
  'defaultTopicQueueNums',
  'queueId',
  'sysFlag',
  'bornTimestamp',
  'flag',
  'properties',
  'reconsumeTimes',
  'unitMode',
  'maxReconsumeTimes',
  'batch'
]
const shortNames = new Map(longNames.map((name, i) => [name, 0x61 + i]))

function usesLongNames(code: number): boolean {
  return code === RequestCode.SEND_MESSAGE || code === RequestCode.SEND_REPLY_MESSAGE
}

/** The hot way for 10, 310, 320, 324, 325, JSON in any key order and binary. False: decode the frame and use `sendHeaderFromCommand`. */
export function scanSendHeader(frame: Frame, into: SendHeader): boolean {
  return scanHeader(frame, into)
}

/** The general way. Throws ProtocolError LMQ_BAD_HEADER that names the field. */
export function sendHeaderFromCommand(command: RemotingCommand, into: SendHeader): void {
  const fields = command.extFields
  const long = usesLongNames(command.code)
  const name = (at: number): string => (long ? longNames[at]! : String.fromCharCode(0x61 + at))
  into.reset()
  into.code = command.code
  into.language = command.language
  into.version = command.version
  into.opaque = command.opaque
  into.commandFlag = command.flag
  into.serializeType = command.serializeType
  into.producerGroup = requiredText(fields, name(0))
  into.topic = requiredText(fields, name(1))
  into.defaultTopic = requiredText(fields, name(2))
  into.defaultTopicQueueNums = requiredInt(fields, name(3))
  into.queueId = requiredInt(fields, name(4))
  into.sysFlag = requiredInt(fields, name(5))
  into.bornTimestamp = requiredLong(fields, name(6))
  into.flag = requiredInt(fields, name(7))
  into.propertiesSource = Buffer.from(optionalText(fields, name(8)) ?? '')
  into.propertiesBytes = into.propertiesSource.length
  into.reconsumeTimes = optionalInt(fields, name(9)) ?? 0
  into.unitMode = optionalBoolean(fields, name(10)) ?? false
  into.maxReconsumeTimes = optionalInt(fields, name(11))
  into.batch = optionalBoolean(fields, name(12)) ?? false
}

/** What a client fills in to send; null leaves a field out. */
export interface SendFields {
  producerGroup: string
  topic: string
  defaultTopic: string
  defaultTopicQueueNums: number
  queueId: number
  sysFlag: number
  bornTimestamp: number
  flag: number
  /** Text form, `propertiesText`. */
  properties: string
  reconsumeTimes: number
  unitMode: boolean
  maxReconsumeTimes: number | null
  batch: boolean
  brokerName: string | null
}

/** Custom header of 310, 320 and 325. */
export function sendExtFields(send: SendFields): Record<string, string> {
  const fields: Record<string, string> = {
    a: send.producerGroup,
    b: send.topic,
    c: send.defaultTopic,
    d: String(send.defaultTopicQueueNums),
    e: String(send.queueId),
    f: String(send.sysFlag),
    g: String(send.bornTimestamp),
    h: String(send.flag),
    i: send.properties,
    j: String(send.reconsumeTimes),
    k: String(send.unitMode)
  }
  if (send.maxReconsumeTimes !== null) fields['l'] = String(send.maxReconsumeTimes)
  fields['m'] = String(send.batch)
  if (send.brokerName !== null) fields['n'] = send.brokerName
  return fields
}
