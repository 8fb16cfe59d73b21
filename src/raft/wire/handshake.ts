import { codec, type MessageOf } from './codec.ts'

export const WIRE_PROTOCOL = 1

/** Why a Hello was refused. 0: it was not. */
export const RefuseCode = {
  none: 0,
  /** Speaks another version of the wire protocol. */
  protocol: 1,
  /** Belongs to another group (`dLegerGroup`). */
  group: 2,
  /** Its log is of another cluster. */
  cluster: 3,
  /** Not a member of the group, or this node itself. */
  member: 4,
  /** A member's id with another disk behind it: it was wiped or replaced. */
  identity: 5
} as const

const helloTable = {
  protocol: ['uint64', 1],
  /** '' before the first configuration is committed. */
  clusterId: ['string', 2],
  group: ['string', 3],
  nodeId: ['string', 4],
  nodeUid: ['string', 5],
  term: ['uint64', 6],
  lastIndex: ['uint64', 7],
  lastTerm: ['uint64', 8],
  logStart: ['uint64', 9],
  /** No entry and no cluster id: may become a founder (R-D7). */
  empty: ['bool', 10],
  recovering: ['bool', 11],
  features: ['uint64', 12],
  brokerAddress: ['string', 13],
  /** Counts the starts of this directory (R-R1). */
  incarnation: ['uint64', 14]
} as const

/** First message of each connection, from the side that opened it. */
export type Hello = MessageOf<typeof helloTable>
export const helloCodec = codec('Hello', helloTable)

const helloReplyTable = {
  ...helloTable,
  refuseCode: ['uint64', 15],
  /** The refusal in words, for the log of the other side. */
  remark: ['string', 16]
} as const

/** The answer, on the same connection; nothing but pongs follows it in that direction. */
export type HelloReply = MessageOf<typeof helloReplyTable>
export const helloReplyCodec = codec('HelloReply', helloReplyTable)
