import { putInt16, putInt32 } from '../bytes.ts'
import { CommandFlag, SerializeType } from '../command.ts'
import { languageName } from '../languageCodes.ts'
import { binaryEntry, binaryKey, numberEntry, putBytes } from './answerTemplate.ts'
import { writeDecimal, writeHex, writeHexLong } from './decimal.ts'

/** What varies from one send answer to the next. The caller's own object may serve: it is only read. */
export interface SendAnswer {
  opaque: number
  /** That of the request. */
  serializeType: number
  /** 0, 10, 11 or 12: all four count as stored and carry the full header. */
  code: number
  queueId: number
  /** For a batch that of the first message. */
  queueOffset: number
  physicalOffset: number
  /** All physical offsets of a batch; null for a single message. */
  batchPhysicalOffsets: readonly number[] | null
  /** UNIQ_KEY, as 5.3 answers it; null leaves it out, as 4.9 does. At most 255 characters are answered. */
  transactionId: string | null
}

export interface SendResponseOptions {
  version: number
  language: number
  /** Broker's `regionId`. */
  regionId: string
  traceOn: boolean
  /** Store host as it stands in stored messages, 8 or 20 bytes: begins every message id. */
  storeHost: Uint8Array
}

const TRANSACTION_ID_CHARACTERS_MAX = 255

/** Writes whole answers to sends (remoting.md 2.3), length word included, without a command in between. */
export class SendResponseWriter {
  readonly #version: number
  readonly #language: number
  readonly #hostHex: Buffer
  readonly #jsonEnd: Buffer
  readonly #jsonTail: Buffer
  readonly #binaryEnd: Buffer

  constructor(options: SendResponseOptions) {
    this.#version = options.version
    this.#language = options.language
    this.#hostHex = Buffer.alloc(options.storeHost.length * 2)
    writeHex(this.#hostHex, 0, options.storeHost)
    const traceOn = String(options.traceOn)
    this.#jsonEnd = Buffer.from(
      `"TRACE_ON":"${traceOn}","MSG_REGION":${JSON.stringify(options.regionId)}},"flag":${CommandFlag.response},"language":"${languageName(options.language)}","opaque":`
    )
    this.#jsonTail = Buffer.from(`,"serializeTypeCurrentRPC":"JSON","version":${options.version}}`)
    this.#binaryEnd = Buffer.concat([
      binaryEntry('TRACE_ON', traceOn),
      binaryEntry('MSG_REGION', options.regionId)
    ])
  }

  /** Room that an answer needs at most; the same for all answers to single messages. */
  bytesMax(batchMessages = 1): number {
    return (
      512 +
      this.#jsonEnd.length +
      this.#binaryEnd.length +
      6 * TRANSACTION_ID_CHARACTERS_MAX +
      batchMessages * (this.#hostHex.length + 17)
    )
  }

  /** Writes a whole frame at `at`, where `bytesMax` bytes must be free, and answers how many bytes it has. */
  write(target: Uint8Array, at: number, answer: SendAnswer): number {
    const end =
      answer.serializeType === SerializeType.ROCKETMQ
        ? this.#binary(target, at + 8, answer)
        : this.#json(target, at + 8, answer)
    putInt32(target, at, end - at - 4)
    putInt32(target, at + 4, (answer.serializeType << 24) | (end - at - 8))
    return end - at
  }

  #json(target: Uint8Array, from: number, answer: SendAnswer): number {
    let at = putBytes(target, from, JSON_CODE)
    at = writeDecimal(target, at, answer.code)
    at = putBytes(target, at, JSON_QUEUE_ID)
    at = writeDecimal(target, at, answer.queueId)
    at = putBytes(target, at, JSON_QUEUE_OFFSET)
    at = writeDecimal(target, at, answer.queueOffset)
    at = putBytes(target, at, JSON_MSG_ID)
    at = this.#messageIds(target, at, answer)
    at = putBytes(target, at, JSON_FIELD_END)
    if (hasTransactionId(answer)) {
      at = putBytes(target, at, JSON_TRANSACTION_ID)
      at += Buffer.from(JSON.stringify(answer.transactionId)).copy(target, at)
      target[at++] = 0x2c
    }
    at = putBytes(target, at, this.#jsonEnd)
    at = writeDecimal(target, at, answer.opaque)
    return putBytes(target, at, this.#jsonTail)
  }

  #binary(target: Uint8Array, from: number, answer: SendAnswer): number {
    putInt16(target, from, answer.code)
    target[from + 2] = this.#language
    putInt16(target, from + 3, this.#version)
    putInt32(target, from + 5, answer.opaque)
    putInt32(target, from + 9, CommandFlag.response)
    putInt32(target, from + 13, 0)
    const mapAt = from + 21
    let at = numberEntry(target, mapAt, BINARY_QUEUE_ID, answer.queueId)
    at = numberEntry(target, at, BINARY_QUEUE_OFFSET, answer.queueOffset)
    const idAt = putBytes(target, at, BINARY_MSG_ID)
    at = this.#messageIds(target, idAt, answer)
    putInt32(target, idAt - 4, at - idAt)
    if (hasTransactionId(answer)) {
      const valueAt = putBytes(target, at, BINARY_TRANSACTION_ID)
      at = valueAt + Buffer.from(answer.transactionId!).copy(target, valueAt)
      putInt32(target, valueAt - 4, at - valueAt)
    }
    at = putBytes(target, at, this.#binaryEnd)
    putInt32(target, mapAt - 4, at - mapAt)
    return at
  }

  #messageIds(target: Uint8Array, from: number, answer: SendAnswer): number {
    let at = putBytes(target, from, this.#hostHex)
    const offsets = answer.batchPhysicalOffsets
    if (offsets === null) return writeHexLong(target, at, answer.physicalOffset)
    for (let i = 0; i < offsets.length; i++) {
      if (i > 0) {
        target[at] = 0x2c
        at = putBytes(target, at + 1, this.#hostHex)
      }
      at = writeHexLong(target, at, offsets[i]!)
    }
    return at
  }
}

const JSON_CODE = Buffer.from('{"code":')
const JSON_QUEUE_ID = Buffer.from(',"extFields":{"queueId":"')
const JSON_QUEUE_OFFSET = Buffer.from('","queueOffset":"')
const JSON_MSG_ID = Buffer.from('","msgId":"')
const JSON_FIELD_END = Buffer.from('",')
const JSON_TRANSACTION_ID = Buffer.from('"transactionId":')
const BINARY_QUEUE_ID = binaryKey('queueId')
const BINARY_QUEUE_OFFSET = binaryKey('queueOffset')
const BINARY_MSG_ID = binaryKey('msgId')
const BINARY_TRANSACTION_ID = binaryKey('transactionId')

function hasTransactionId(answer: SendAnswer): boolean {
  const id = answer.transactionId
  return id !== null && id.length > 0 && id.length <= TRANSACTION_ID_CHARACTERS_MAX
}
