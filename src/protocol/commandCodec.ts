import { BINARY_HEADER_FIXED_BYTES, readBinaryHeader, writeBinaryHeader } from './binaryHeader.ts'
import { getInt16, getInt32, putInt32 } from './bytes.ts'
import { type RemotingCommand, SerializeType } from './command.ts'
import { ProtocolError } from './errors.ts'
import { FRAME_PREFIX_BYTES, type Frame } from './frame.ts'
import { HotHeader } from './hot/hotHeader.ts'
import { scanHeader } from './hot/scanHeader.ts'
import { readJsonHeader, writeJsonHeader } from './jsonHeader.ts'

/** The general way to read a frame; the body stays a view of the frame. Throws ProtocolError LMQ_BAD_FRAME: close the connection. */
export function decodeCommand(frame: Frame): RemotingCommand {
  if (frame.headerAt === frame.bodyAt)
    throw new ProtocolError('LMQ_BAD_FRAME', 'the header is empty')
  const fields =
    frame.serializeType === SerializeType.JSON
      ? readJsonHeader(frame.header)
      : readBinaryHeader(frame.header)
  return {
    code: fields.code,
    language: fields.language,
    version: fields.version,
    opaque: fields.opaque,
    flag: fields.flag,
    remark: fields.remark,
    extFields: fields.extFields,
    body: frame.bodyBytes === 0 ? null : frame.body,
    serializeType: frame.serializeType
  }
}

/** The whole frame: length and header in the first buffer, the body, if there is one, as it came in the second. */
export function encodeCommand(command: RemotingCommand): Buffer[] {
  const body = command.body
  const head = encodeHeader(command, body === null ? 0 : body.length)
  return body === null || body.length === 0 ? [head] : [head, body]
}

/** Length word, header length word and header of a frame whose body of `bodyBytes` is sent by other means. */
function encodeHeader(command: RemotingCommand, bodyBytes: number): Buffer {
  let head: Buffer
  if (command.serializeType === SerializeType.ROCKETMQ) {
    head = writeBinaryHeader(command, FRAME_PREFIX_BYTES)
  } else {
    const text = writeJsonHeader(command)
    head = Buffer.allocUnsafe(FRAME_PREFIX_BYTES + Buffer.byteLength(text))
    head.write(text, FRAME_PREFIX_BYTES)
  }
  const headerBytes = head.length - FRAME_PREFIX_BYTES
  if (headerBytes > 0xffffff) throw new RangeError(`header of ${headerBytes} bytes, limit 16777215`)
  putInt32(head, 0, head.length - 4 + bodyBytes)
  putInt32(head, 4, (command.serializeType << 24) | headerBytes)
  return head
}

const CODE_KEY = Buffer.from('{"code":')

/**
 * The code of a frame, if it can be told from its first bytes: always with a binary header, with a JSON header when `code` is the first
 * key, as all known clients write it. -1: decode the frame to know. Costs a few nanoseconds: for choosing the hot path.
 */
export function peekCode(frame: Frame): number {
  const bytes = frame.bytes
  let at = frame.headerAt
  if (frame.serializeType === SerializeType.ROCKETMQ)
    return frame.bodyAt - at < BINARY_HEADER_FIXED_BYTES ? -1 : getInt16(bytes, at)
  if (frame.bodyAt - at < CODE_KEY.length + 2) return -1
  for (let i = 0; i < CODE_KEY.length; i++) if (bytes[at + i] !== CODE_KEY[i]) return -1
  at += CODE_KEY.length
  let code = 0
  let digits = 0
  for (; at < frame.bodyAt && digits < 9; at++, digits++) {
    const digit = bytes[at]! - 48
    if (digit < 0 || digit > 9) break
    code = code * 10 + digit
  }
  const after = bytes[at]
  return digits > 0 && (after === 0x2c || after === 0x7d) ? code : -1
}

/** Fixed fields of a frame, filled by `peekCommand`. */
export class CommandPeek {
  code = 0
  language = 0
  version = 0
  opaque = 0
  flag = 0
  serializeType = 0
}

/**
 * The fixed fields without the custom header, into a reused object. For a binary header this is a few loads; a JSON header is walked
 * through once.
 * False: the frame is broken, `decodeCommand` says how.
 */
export function peekCommand(frame: Frame, into: CommandPeek): boolean {
  into.serializeType = frame.serializeType
  if (frame.serializeType === SerializeType.ROCKETMQ) {
    if (frame.bodyAt - frame.headerAt < BINARY_HEADER_FIXED_BYTES) return false
    const bytes = frame.bytes
    const at = frame.headerAt
    into.code = getInt16(bytes, at)
    into.language = bytes[at + 2]!
    into.version = getInt16(bytes, at + 3)
    into.opaque = getInt32(bytes, at + 5)
    into.flag = getInt32(bytes, at + 9)
    return true
  }
  if (scanHeader(frame, peeked)) {
    into.code = peeked.code
    into.language = peeked.language
    into.version = peeked.version
    into.opaque = peeked.opaque
    into.flag = peeked.commandFlag
    return true
  }
  try {
    const command = decodeCommand(frame)
    into.code = command.code
    into.language = command.language
    into.version = command.version
    into.opaque = command.opaque
    into.flag = command.flag
    return true
  } catch (error) {
    if (error instanceof ProtocolError) return false
    throw error
  }
}

/** Takes no custom field, so that a JSON header is only walked through. */
class FixedFields extends HotHeader {
  override reset(): void {}
  override setField(): boolean {
    return true
  }
  override complete(): boolean {
    return true
  }
}

const peeked = new FixedFields()
