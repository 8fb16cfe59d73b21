export { decodeConfiguration, encodeConfiguration } from './configuration.ts'
export {
  type FileRange,
  type FileRangeReply,
  fileRangeCodec,
  fileRangeReplyCodec
} from './fileRange.ts'
export {
  encodeFrameHead,
  FRAME_BYTES_MAX,
  FRAME_PREFIX_BYTES,
  type Frame,
  FrameReader,
  HANDSHAKE_FRAME_BYTES_MAX,
  WireError
} from './frame.ts'
export { FrameType } from './frameType.ts'
export {
  type Hello,
  type HelloReply,
  helloCodec,
  helloReplyCodec,
  WIRE_PROTOCOL,
  WireRefuseCode
} from './handshake.ts'
export { decodeMessage, encodeMessage } from './messages.ts'
