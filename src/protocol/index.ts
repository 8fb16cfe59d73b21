export * from './bodies/index.ts'
export {
  getInt32,
  getInt64,
  getUint32,
  getUint48,
  putInt32,
  putInt64,
  putUint48
} from './bytes.ts'
export {
  CommandFlag,
  isOneway,
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
  peekCode,
  peekCommand
} from './commandCodec.ts'
export {
  COMPRESS_BODY_OVER_BYTES,
  COMPRESSED_SYS_FLAG,
  compressBody,
  inflateLimited,
  plainBody
} from './compression.ts'
export { ProtocolError, type ProtocolErrorCode } from './errors.ts'
export {
  type ExtFields,
  optionalBoolean,
  optionalInt,
  optionalLong,
  optionalText,
  requiredInt,
  requiredLong,
  requiredText
} from './fields.ts'
export { FRAME_BYTES_MAX, Frame, FrameReader } from './frame.ts'
export {
  decodeHost,
  encodeAddress,
  encodeHost,
  type Host,
  hostText,
  IPV4_HOST_BYTES,
  IPV6_HOST_BYTES,
  parseHostText
} from './hosts.ts'
export { readLong } from './hot/decimal.ts'
export { PullHeader, PullSysFlag, pullHeaderFromCommand, scanPullHeader } from './hot/pullHeader.ts'
export {
  PULL_RESPONSE_HEAD_BYTES_MAX,
  type PullAnswer,
  type PullResponseOptions,
  PullResponseWriter
} from './hot/pullResponse.ts'
export {
  type SendFields,
  SendHeader,
  scanSendHeader,
  sendExtFields,
  sendHeaderFromCommand
} from './hot/sendHeader.ts'
export {
  type SendAnswer,
  type SendResponseOptions,
  SendResponseWriter
} from './hot/sendResponse.ts'
export { javaDouble } from './json/javaDouble.ts'
export { parseLenientJson } from './json/lenientJson.ts'
export type { Form, Of } from './json/schema.ts'
export { type JsonObject, type JsonValue, ObjectKeyed } from './json/value.ts'
export { LanguageCode, languageCode, languageName } from './languageCodes.ts'
export { type BatchMessage, BatchReader, encodeBatch } from './messageBatch.ts'
export {
  offsetMessageId,
  parseOffsetMessageId,
  UniqueKeyGenerator,
  type UniqueKeyOptions,
  uniqueKeyTimeMs
} from './messageIds.ts'
export {
  DLQ_PREFIX,
  dlqTopic,
  groupProblem,
  isForbiddenForSending,
  isSystemTopic,
  type NameProblem,
  RETRY_PREFIX,
  replyTopic,
  retryTopic,
  SystemTopic,
  topicProblem,
  topicProblemText
} from './names.ts'
export {
  decodePopHandle,
  encodePopHandle,
  markedTopic,
  msgOffsetInfo,
  POP_ORDER_REVIVE_QUEUE,
  type PopHandle,
  type PopQueueInfo,
  parseOrderCounts,
  parsePopInfo,
  popRetryTopic,
  RetryMark,
  retryMarkOf,
  startOffsetInfo
} from './popInfo.ts'
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
export {
  changePropertiesFile,
  configText,
  type PropertiesFile,
  parsePropertiesFile,
  writePropertiesFile
} from './propertiesFile.ts'
export { RaftRequestCode } from './raftCodes.ts'
export { RequestCode } from './requestCodes.ts'
export { ResponseCode } from './responseCodes.ts'
export {
  bodyCrcOf,
  decodeStoredMessage,
  decodeStoredMessages,
  type MessageFields,
  type StoredMessage,
  storedMessageSize,
  writeStoredMessage
} from './storedMessage.ts'
export {
  BORN_HOST_AT,
  bornHostBytes,
  getBodyCrc,
  getBodyRange,
  getBornTimestamp,
  getFlag,
  getMagic,
  getPhysicalOffset,
  getPreparedTransactionOffset,
  getPropertiesRange,
  getQueueId,
  getQueueOffset,
  getReconsumeTimes,
  getStoreTimestamp,
  getSysFlag,
  getTopicRange,
  getTotalSize,
  isStoredMessage,
  MAGIC_BLANK,
  MAGIC_V1,
  MAGIC_V2,
  PHYSICAL_OFFSET_AT,
  putPhysicalOffset,
  putQueueId,
  putQueueOffset,
  putStoreTimestamp,
  QUEUE_ID_AT,
  QUEUE_OFFSET_AT,
  reconsumeTimesAt,
  STORED_MESSAGE_FIXED_BYTES,
  storeHostAt,
  storeHostBytes,
  storeTimestampAt,
  TOPIC_BYTES_MAX
} from './storedMessageBytes.ts'
export { MessageSysFlag, TopicPerm, TopicSysFlag } from './sysFlags.ts'
export { Version, versionName, versionOrdinal } from './versions.ts'
