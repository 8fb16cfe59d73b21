export {
  CommandFlag,
  isOneway,
  isResponse,
  OWN_LANGUAGE,
  OWN_VERSION,
  type RemotingCommand,
  request,
  response,
  SerializeType
} from './command.ts'
export {
  CommandPeek,
  decodeCommand,
  encodeCommand,
  encodeHeader,
  peekCode,
  peekCommand
} from './commandCodec.ts'
export { ProtocolError, type ProtocolErrorCode } from './errors.ts'
export { FRAME_BYTES_MAX, FRAME_PREFIX_BYTES, Frame, FrameReader } from './frame.ts'
export { LanguageCode, languageCode, languageName } from './languageCodes.ts'
export {
  ByteRange,
  decodeProperties,
  encodeProperties,
  findProperty,
  javaHash,
  javaHashOfBytes,
  MessageProperty,
  PROPERTIES_BYTES_MAX,
  propertiesText
} from './properties.ts'
export { RequestCode, requestCodeName } from './requestCodes.ts'
export { ResponseCode, responseCodeName } from './responseCodes.ts'
export { Version, versionName, versionOrdinal } from './versions.ts'
