export { type Codec, codec, type FieldTable, type MessageOf } from './codec.ts'
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
  RefuseCode,
  WIRE_PROTOCOL
} from './handshake.ts'
