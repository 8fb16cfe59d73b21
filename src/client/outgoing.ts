import { MessageProperty, PROPERTIES_BYTES_MAX, propertiesText } from '../protocol/index.ts'
import type { Compressor } from './compression.ts'
import { badArgument } from './errors.ts'
import { checkTopic } from './options.ts'

/** A message to send. */
export interface Message {
  readonly topic: string
  /** Text is sent as UTF-8; must not be empty. */
  readonly body: string | Uint8Array
  /** One tag, what consumers select by. */
  readonly tag?: string
  /** Keys that the message can be found by; no blanks in them. */
  readonly keys?: string | readonly string[]
  /** The sender's own properties; reserved names are refused. */
  readonly properties?: Readonly<Record<string, string>>
  /** 1 to 18: delivered 1 s to 2 h later (broker.md 5.1). 0 or nothing: at once. */
  readonly delayLevel?: number
  /** Delivered at this time, ms since 1970, instead of a level; at once when it is over. A broker of 5.x allows up to 3 days ahead unless told otherwise (broker.md 5.1). */
  readonly deliverAtMs?: number
  /** Delivered after so many ms, from 1 on, instead of a level or a time. */
  readonly delayMs?: number
  /** Messages of one key belong together; carried along for consumers. */
  readonly shardingKey?: string
  /** Opaque number that is stored with the message. */
  readonly flag?: number
}

/** A message checked and encoded, ready for any number of attempts under the same unique key. */
export interface PreparedMessage {
  readonly topic: string
  readonly uniqueKey: string
  readonly body: Buffer
  readonly sysFlag: number
  readonly flag: number
  readonly propertiesText: string
  readonly propertiesBytes: number
  /** Names a level or a time: not for batches. */
  readonly delayed: boolean
}

/** What a kind of producer adds to a message: reserved properties, and bits of the system flag. */
export interface MessageMarks {
  readonly sysFlag: number
  readonly properties: Readonly<Record<string, string>>
}

export interface PrepareLimits {
  /** Bodies from here on are compressed; Infinity: never. */
  readonly compressFromBytes: number
  readonly compressor: Compressor
  /** Largest body, before compression. */
  readonly messageBytesMax: number
}

const RESERVED: ReadonlySet<string> = new Set(Object.values(MessageProperty))

/** Throws BAD_ARGUMENT for whatever a broker would refuse. */
export function prepareMessage(
  message: Message,
  uniqueKey: string,
  limits: PrepareLimits,
  marks: MessageMarks | null = null
): PreparedMessage {
  checkTopic(message.topic)
  const body = asBuffer(message.body)
  if (body.length === 0) throw badArgument('the message has no body')
  if (body.length > limits.messageBytesMax) {
    throw badArgument(`the body has ${body.length} bytes, allowed are ${limits.messageBytesMax}`)
  }
  const properties = propertiesOf(message, uniqueKey)
  for (const [name, value] of Object.entries(marks?.properties ?? {})) properties.set(name, value)
  const text = propertiesText(properties)
  const propertiesBytes = Buffer.byteLength(text)
  if (propertiesBytes > PROPERTIES_BYTES_MAX) {
    throw badArgument(
      `the properties have ${propertiesBytes} bytes, allowed are ${PROPERTIES_BYTES_MAX}`
    )
  }
  // In place rather than in the thread pool: a compressed message must not be overtaken by later small ones.
  const compress = body.length >= limits.compressFromBytes
  return {
    topic: message.topic,
    uniqueKey,
    body: compress ? limits.compressor.pack(body) : body,
    sysFlag: (compress ? limits.compressor.sysFlag : 0) | (marks?.sysFlag ?? 0),
    flag: message.flag ?? 0,
    propertiesText: text,
    propertiesBytes,
    delayed: isDelayed(message)
  }
}

/** Whether the message names a level or a time. */
export function isDelayed(message: Message): boolean {
  return (
    (message.delayLevel ?? 0) > 0 ||
    message.deliverAtMs !== undefined ||
    message.delayMs !== undefined
  )
}

function propertiesOf(message: Message, uniqueKey: string): Map<string, string> {
  const properties = new Map<string, string>()
  for (const [name, value] of Object.entries(message.properties ?? {})) {
    if (RESERVED.has(name)) throw badArgument(`the property name ${name} is reserved`)
    if (name === '' || value === '')
      throw badArgument('property names and values must not be empty')
    set(properties, name, value)
  }
  const keys = typeof message.keys === 'string' ? [message.keys] : (message.keys ?? [])
  if (keys.length > 0) set(properties, MessageProperty.KEYS, keys.join(' '))
  set(properties, MessageProperty.UNIQ_KEY, uniqueKey)
  set(properties, MessageProperty.WAIT, 'true')
  if (message.tag !== undefined && message.tag !== '') {
    set(properties, MessageProperty.TAGS, message.tag)
  }
  if (message.shardingKey !== undefined) {
    set(properties, MessageProperty.SHARDING_KEY, message.shardingKey)
  }
  const level = message.delayLevel ?? 0
  if (!Number.isInteger(level) || level < 0) {
    throw badArgument(`the delay level must be a whole number from 0 on, not ${level}`)
  }
  if (level > 0) set(properties, MessageProperty.DELAY, String(level))
  setTime(properties, message, level)
  return properties
}

function setTime(properties: Map<string, string>, message: Message, level: number): void {
  const { deliverAtMs, delayMs } = message
  const given = [level > 0 ? level : undefined, deliverAtMs, delayMs]
  if (given.filter(each => each !== undefined).length > 1) {
    throw badArgument('a message has one of delayLevel, deliverAtMs and delayMs')
  }
  for (const [name, key, ms] of [
    ['deliverAtMs', MessageProperty.TIMER_DELIVER_MS, deliverAtMs],
    ['delayMs', MessageProperty.TIMER_DELAY_MS, delayMs]
  ] as const) {
    if (ms === undefined) continue
    if (!Number.isSafeInteger(ms) || ms < 1) {
      throw badArgument(`${name} must be a whole number of ms from 1 on, not ${ms}`)
    }
    set(properties, key, String(ms))
  }
}

/** The two separators cannot be written inside a name or value. */
function set(properties: Map<string, string>, name: string, value: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these two are what must not occur
  if (/[\u0001\u0002]/.test(name) || /[\u0001\u0002]/.test(value)) {
    throw badArgument(`the property ${name} contains the control character 1 or 2`)
  }
  properties.set(name, value)
}

function asBuffer(body: string | Uint8Array): Buffer {
  if (typeof body === 'string') return Buffer.from(body, 'utf8')
  return Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength)
}
