import { putInt16, putInt32 } from '../bytes.ts'
import { CommandFlag, SerializeType } from '../command.ts'
import { languageName } from '../languageCodes.ts'
import { binaryKey, numberEntry, putBytes } from './answerTemplate.ts'
import { writeDecimal } from './decimal.ts'

/** What varies from one pull answer to the next; only read. */
export interface PullAnswer {
  opaque: number
  /** That of the request. */
  serializeType: number
  /** 0, 19, 20 or 21: with these all four fields of the header are there. */
  code: number
  /** Store status, such as FOUND; null: none. At most 255 characters. */
  remark: string | null
  suggestWhichBrokerId: number
  nextBeginOffset: number
  minOffset: number
  maxOffset: number
}

export interface PullResponseOptions {
  version: number
  language: number
}

/** Room that the head of a pull answer needs at most. */
export const PULL_RESPONSE_HEAD_BYTES_MAX = 2048

/** Remarks are a dozen names; more than this many different ones are encoded each time. */
const REMARKS_MAX = 64
const REMARK_CHARACTERS_MAX = 255

/** Writes the head of a pull answer (remoting.md 2.4), length word included; the messages follow as they are stored. */
export class PullResponseWriter {
  readonly #version: number
  readonly #language: number
  readonly #jsonFlag: Buffer
  readonly #jsonTail: Buffer
  readonly #remarks = new Map<string, { json: Buffer; utf8: Buffer }>()

  constructor(options: PullResponseOptions) {
    this.#version = options.version
    this.#language = options.language
    this.#jsonFlag = Buffer.from(
      `"},"flag":${CommandFlag.response},"language":"${languageName(options.language)}","opaque":`
    )
    this.#jsonTail = Buffer.from(`,"serializeTypeCurrentRPC":"JSON","version":${options.version}}`)
  }

  /** Writes the head at `at`, where PULL_RESPONSE_HEAD_BYTES_MAX must be free, for a body of `bodyBytes`; answers the head's bytes. */
  write(target: Uint8Array, at: number, answer: PullAnswer, bodyBytes: number): number {
    const end =
      answer.serializeType === SerializeType.ROCKETMQ
        ? this.#binary(target, at + 8, answer)
        : this.#json(target, at + 8, answer)
    putInt32(target, at, end - at - 4 + bodyBytes)
    putInt32(target, at + 4, (answer.serializeType << 24) | (end - at - 8))
    return end - at
  }

  #json(target: Uint8Array, from: number, answer: PullAnswer): number {
    let at = putBytes(target, from, JSON_CODE)
    at = writeDecimal(target, at, answer.code)
    at = putBytes(target, at, JSON_SUGGEST)
    at = writeDecimal(target, at, answer.suggestWhichBrokerId)
    at = putBytes(target, at, JSON_NEXT)
    at = writeDecimal(target, at, answer.nextBeginOffset)
    at = putBytes(target, at, JSON_MIN)
    at = writeDecimal(target, at, answer.minOffset)
    at = putBytes(target, at, JSON_MAX)
    at = writeDecimal(target, at, answer.maxOffset)
    at = putBytes(target, at, this.#jsonFlag)
    at = writeDecimal(target, at, answer.opaque)
    if (answer.remark !== null) {
      at = putBytes(target, at, JSON_REMARK)
      at = putBytes(target, at, this.#remark(answer.remark).json)
    }
    return putBytes(target, at, this.#jsonTail)
  }

  #binary(target: Uint8Array, from: number, answer: PullAnswer): number {
    putInt16(target, from, answer.code)
    target[from + 2] = this.#language
    putInt16(target, from + 3, this.#version)
    putInt32(target, from + 5, answer.opaque)
    putInt32(target, from + 9, CommandFlag.response)
    let at = from + 17
    if (answer.remark !== null) at = putBytes(target, at, this.#remark(answer.remark).utf8)
    putInt32(target, from + 13, at - from - 17)
    const mapAt = at + 4
    at = numberEntry(target, mapAt, BINARY_SUGGEST, answer.suggestWhichBrokerId)
    at = numberEntry(target, at, BINARY_NEXT, answer.nextBeginOffset)
    at = numberEntry(target, at, BINARY_MIN, answer.minOffset)
    at = numberEntry(target, at, BINARY_MAX, answer.maxOffset)
    putInt32(target, mapAt - 4, at - mapAt)
    return at
  }

  #remark(text: string): { json: Buffer; utf8: Buffer } {
    const known = this.#remarks.get(text)
    if (known !== undefined) return known
    const cut = text.slice(0, REMARK_CHARACTERS_MAX)
    const made = { json: Buffer.from(JSON.stringify(cut)), utf8: Buffer.from(cut) }
    if (this.#remarks.size < REMARKS_MAX) this.#remarks.set(text, made)
    return made
  }
}

const JSON_CODE = Buffer.from('{"code":')
const JSON_SUGGEST = Buffer.from(',"extFields":{"suggestWhichBrokerId":"')
const JSON_NEXT = Buffer.from('","nextBeginOffset":"')
const JSON_MIN = Buffer.from('","minOffset":"')
const JSON_MAX = Buffer.from('","maxOffset":"')
const JSON_REMARK = Buffer.from(',"remark":')
const BINARY_SUGGEST = binaryKey('suggestWhichBrokerId')
const BINARY_NEXT = binaryKey('nextBeginOffset')
const BINARY_MIN = binaryKey('minOffset')
const BINARY_MAX = binaryKey('maxOffset')
