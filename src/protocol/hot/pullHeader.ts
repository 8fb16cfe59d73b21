import type { RemotingCommand } from '../command.ts'
import {
  optionalInt,
  optionalLong,
  optionalText,
  requiredInt,
  requiredLong,
  requiredText
} from '../fields.ts'
import type { Frame } from '../frame.ts'
import { readInt, readLong } from './decimal.ts'
import { HotHeader } from './hotHeader.ts'
import { names } from './names.ts'
import { scanHeader } from './scanHeader.ts'

/** Bits of a pull's sysFlag (remoting.md 2.4). */
export const PullSysFlag = {
  commitOffset: 1,
  suspend: 2,
  subscription: 4,
  classFilter: 8,
  litePull: 16
} as const

/**
 * Header of a pull, 11 and 361 (remoting.md 2.4). Reused: valid until the next scan into the same object. Only the first five fields are
 * insisted on: the Go client leaves out subVersion, and the original takes 0 for what is missing.
 */
export class PullHeader extends HotHeader {
  consumerGroup = ''
  topic = ''
  queueId = 0
  /** First wanted offset of the queue. */
  queueOffset = 0
  maxMsgNums = 0
  /** PullSysFlag bits. */
  sysFlag = 0
  /** Stored for the group when the commitOffset bit is set. */
  commitOffset = 0
  suspendTimeoutMillis = 0
  /** Expression, with the subscription bit; null: absent. */
  subscription: string | null = null
  /** Version of the subscription, a ms timestamp; 0 when absent. */
  subVersion = 0
  /** TAG when absent. */
  expressionType = 'TAG'
  /** 5.x; null: absent. */
  maxMsgBytes: number | null = null
  #seen = 0

  override reset(): void {
    this.consumerGroup = ''
    this.topic = ''
    this.queueId = 0
    this.queueOffset = 0
    this.maxMsgNums = 0
    this.sysFlag = 0
    this.commitOffset = 0
    this.suspendTimeoutMillis = 0
    this.subscription = null
    this.subVersion = 0
    this.expressionType = 'TAG'
    this.maxMsgBytes = null
    this.#seen = 0
  }

  override setField(
    keySource: Buffer,
    keyAt: number,
    keyBytes: number,
    bytes: Buffer,
    at: number,
    length: number
  ): boolean {
    let number = 0
    switch (names.text(keySource, keyAt, keyBytes)) {
      case 'consumerGroup':
        this.consumerGroup = names.text(bytes, at, length)
        this.#seen |= 1
        break
      case 'topic':
        this.topic = names.text(bytes, at, length)
        this.#seen |= 2
        break
      case 'queueId':
        number = this.queueId = readInt(bytes, at, length)
        this.#seen |= 4
        break
      case 'queueOffset':
        number = this.queueOffset = readLong(bytes, at, length)
        this.#seen |= 8
        break
      case 'maxMsgNums':
        number = this.maxMsgNums = readInt(bytes, at, length)
        this.#seen |= 16
        break
      case 'sysFlag':
        number = this.sysFlag = readInt(bytes, at, length)
        break
      case 'commitOffset':
        number = this.commitOffset = readLong(bytes, at, length)
        break
      case 'suspendTimeoutMillis':
        number = this.suspendTimeoutMillis = readLong(bytes, at, length)
        break
      case 'subscription':
        this.subscription = names.text(bytes, at, length)
        break
      case 'subVersion':
        number = this.subVersion = readLong(bytes, at, length)
        break
      case 'expressionType':
        this.expressionType = names.text(bytes, at, length)
        break
      case 'maxMsgBytes':
        number = this.maxMsgBytes = readInt(bytes, at, length)
        break
      default:
        return true
    }
    return !Number.isNaN(number)
  }

  override complete(): boolean {
    return this.#seen === 31
  }
}

/** The hot way for 11 and 361, JSON in any key order and binary. False: decode the frame and use `pullHeaderFromCommand`. */
export function scanPullHeader(frame: Frame, into: PullHeader): boolean {
  return scanHeader(frame, into)
}

/** The general way. Throws ProtocolError LMQ_BAD_HEADER that names the field. */
export function pullHeaderFromCommand(command: RemotingCommand, into: PullHeader): void {
  const fields = command.extFields
  into.reset()
  into.code = command.code
  into.language = command.language
  into.version = command.version
  into.opaque = command.opaque
  into.commandFlag = command.flag
  into.serializeType = command.serializeType
  into.consumerGroup = requiredText(fields, 'consumerGroup')
  into.topic = requiredText(fields, 'topic')
  into.queueId = requiredInt(fields, 'queueId')
  into.queueOffset = requiredLong(fields, 'queueOffset')
  into.maxMsgNums = requiredInt(fields, 'maxMsgNums')
  into.sysFlag = optionalInt(fields, 'sysFlag') ?? 0
  into.commitOffset = optionalLong(fields, 'commitOffset') ?? 0
  into.suspendTimeoutMillis = optionalLong(fields, 'suspendTimeoutMillis') ?? 0
  into.subscription = optionalText(fields, 'subscription')
  into.subVersion = optionalLong(fields, 'subVersion') ?? 0
  into.expressionType = optionalText(fields, 'expressionType') ?? 'TAG'
  into.maxMsgBytes = optionalInt(fields, 'maxMsgBytes')
}
