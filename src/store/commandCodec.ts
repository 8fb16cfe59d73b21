/**
 * Commands as bytes. In an entry of kind 2 the body is commands one behind the other. In an entry of kind 1 with flag
 * bit 0 they follow the messages as a trailer, applied after them; the entry's last 4 bytes say how long it is:
 *
 *   | message | message | … | command | command | trailer bytes (u32) |      trailer bytes: of the commands only
 *
 * One command: u16 type · u32 length · body. The body is JSON (UTF-8) for what is rare; consumer offsets and delay
 * progress, which come all the time, are binary:
 *   offsets         u32 count, then for each: u16 length, group · u16 length, topic · u32 queueId · i64 offset
 *   delay progress  u32 level · i64 offset
 *   transactions    checks: (i64 physical offset · u32 times) …; close: i64 physical offset
 *   timers done     (i64 due time · i64 place) …
 *   pops            popCodec.ts
 * A type number is never given to something else: old logs hold it.
 */
import { getInt64, getUint32, putInt32, putInt64 } from '../protocol/index.ts'
import type { Command, ConsumerOffset } from './commands.ts'
import {
  decodeAcks,
  decodeChange,
  decodeTake,
  encodeAcks,
  encodeChange,
  encodeTake
} from './popCodec.ts'
import { decodeTimers, encodeTimers } from './timers.ts'
import { decodeChecks, encodeChecks } from './transactions.ts'

/** Bit of a messages entry's flags. */
export const FLAG_COMMANDS_TRAILER = 1
export const TRAILER_LENGTH_BYTES = 4
const ENVELOPE_BYTES = 6

const TYPE_NUMBERS = {
  putTopic: 1,
  deleteTopic: 2,
  putGroup: 3,
  deleteGroup: 4,
  commitOffsets: 5,
  setOffsets: 6,
  deleteOffsets: 7,
  delayProgress: 8,
  lockQueues: 9,
  unlockQueues: 10,
  putBrokerConfig: 11,
  putValue: 12,
  trimPrefix: 13,
  timersDone: 30,
  checkTransactions: 20,
  closeTransaction: 21,
  popTake: 40,
  popAcks: 41,
  popChange: 42,
  popOrderTake: 43,
  popOrderAck: 44,
  popOrderChange: 45
} as const satisfies Record<Command['type'], number>

const TYPES = new Map<number, Command['type']>(
  Object.entries(TYPE_NUMBERS).map(([name, number]) => [number, name as Command['type']])
)

/** The log holds what this version does not understand: it must not go on, or it would diverge. */
export class UnknownCommandError extends Error {
  override readonly name = 'UnknownCommandError'
}

export function encodeCommand(command: Command): Buffer {
  const body = encodeBody(command)
  const bytes = Buffer.allocUnsafe(ENVELOPE_BYTES + body.length)
  bytes.writeUInt16BE(TYPE_NUMBERS[command.type], 0)
  putInt32(bytes, 2, body.length)
  bytes.set(body, ENVELOPE_BYTES)
  return bytes
}

/** All commands in [at, end). Throws UnknownCommandError, or Error when the bytes are no commands. */
export function decodeCommands(bytes: Buffer, at: number, end: number): Command[] {
  const commands: Command[] = []
  while (at < end) {
    if (end - at < ENVELOPE_BYTES)
      throw new Error(`a command's head is cut after ${end - at} bytes`)
    const number = bytes.readUInt16BE(at)
    const length = getUint32(bytes, at + 2)
    const bodyAt = at + ENVELOPE_BYTES
    if (length > end - bodyAt) {
      throw new Error(`command ${number} says ${length} bytes, ${end - bodyAt} are left`)
    }
    const type = TYPES.get(number)
    if (type === undefined) {
      throw new UnknownCommandError(
        `the log holds a command of type ${number}, which this version does not know: upgrade this broker to the version of its leader`
      )
    }
    commands.push(decodeBody(type, bytes.subarray(bodyAt, bodyAt + length)))
    at = bodyAt + length
  }
  return commands
}

/** Where the commands behind the messages of an entry begin. */
export function trailerStart(bytes: Uint8Array, bodyStart: number): number {
  const end = bytes.length - TRAILER_LENGTH_BYTES
  const start = end < bodyStart ? -1 : end - getUint32(bytes, end)
  if (start < bodyStart) throw new Error('the trailer of commands is longer than its entry')
  return start
}

function encodeBody(command: Command): Buffer {
  switch (command.type) {
    case 'commitOffsets':
    case 'setOffsets':
      return encodeOffsets(command.offsets)
    case 'delayProgress': {
      const bytes = Buffer.alloc(12)
      putInt32(bytes, 0, command.level)
      putInt64(bytes, 4, command.offset)
      return bytes
    }
    case 'checkTransactions':
      return encodeChecks(command.checks)
    case 'closeTransaction': {
      const bytes = Buffer.alloc(8)
      putInt64(bytes, 0, command.physicalOffset)
      return bytes
    }
    case 'timersDone':
      return encodeTimers(command.timers)
    case 'popTake':
      return encodeTake(command.take)
    case 'popAcks':
      return encodeAcks(command.acks)
    case 'popChange':
      return encodeChange(command.change)
    default: {
      const { type: _, ...rest } = command
      return Buffer.from(JSON.stringify(rest))
    }
  }
}

function decodeBody(type: Command['type'], bytes: Buffer): Command {
  switch (type) {
    case 'commitOffsets':
    case 'setOffsets':
      return { type, offsets: decodeOffsets(bytes) }
    case 'delayProgress':
      return { type, level: getUint32(bytes, 0), offset: getInt64(bytes, 4) }
    case 'checkTransactions':
      return { type, checks: decodeChecks(bytes) }
    case 'closeTransaction':
      return { type, physicalOffset: getInt64(bytes, 0) }
    case 'timersDone':
      return { type, timers: decodeTimers(bytes) }
    case 'popTake':
      return { type, take: decodeTake(bytes) }
    case 'popAcks':
      return { type, acks: decodeAcks(bytes) }
    case 'popChange':
      return { type, change: decodeChange(bytes) }
    default:
      return { type, ...JSON.parse(bytes.toString('utf8')) } as Command
  }
}

function encodeOffsets(offsets: readonly ConsumerOffset[]): Buffer {
  let size = 4
  for (const { group, topic } of offsets) {
    size += 16 + Buffer.byteLength(group) + Buffer.byteLength(topic)
  }
  const bytes = Buffer.allocUnsafe(size)
  putInt32(bytes, 0, offsets.length)
  let at = 4
  for (const { group, topic, queueId, offset } of offsets) {
    at = putText(bytes, at, group)
    at = putText(bytes, at, topic)
    putInt32(bytes, at, queueId)
    putInt64(bytes, at + 4, offset)
    at += 12
  }
  return bytes
}

function decodeOffsets(bytes: Buffer): ConsumerOffset[] {
  const count = getUint32(bytes, 0)
  const offsets: ConsumerOffset[] = []
  let at = 4
  for (let i = 0; i < count; i++) {
    const groupBytes = bytes.readUInt16BE(at)
    const group = bytes.toString('utf8', at + 2, at + 2 + groupBytes)
    at += 2 + groupBytes
    const topicBytes = bytes.readUInt16BE(at)
    const topic = bytes.toString('utf8', at + 2, at + 2 + topicBytes)
    at += 2 + topicBytes
    const queueId = getUint32(bytes, at)
    offsets.push({ group, topic, queueId, offset: getInt64(bytes, at + 4) })
    at += 12
  }
  return offsets
}

function putText(bytes: Buffer, at: number, text: string): number {
  const length = bytes.write(text, at + 2, 'utf8')
  bytes.writeUInt16BE(length, at)
  return at + 2 + length
}
