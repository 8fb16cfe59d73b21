import { codec, type MessageOf } from './codec.ts'

export const WIRE_PROTOCOL = 1

/** Refusals that the wire itself gives; lower codes are the core's (RefuseCode of core/types.ts). */
export const WireRefuseCode = {
  /** Belongs to another group (`dLegerGroup`). */
  group: 64,
  /** Speaks another version of the wire protocol. */
  protocol: 65
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
  incarnation: ['uint64', 14],
  /** 15 and 16 are the reply's. Of the configuration in force at the sender, 0: none. */
  configurationVersion: ['uint64', 17],
  /** By that configuration: 0 no member, 1 learner, 2 voter. */
  memberRole: ['uint64', 18],
  /** host:port where the sender's peers reach it, by its own file. */
  raftAddress: ['string', 19]
} as const

/** First message of each connection, from the side that opened it. */
export type Hello = MessageOf<typeof helloTable>
export const helloCodec = codec('Hello', helloTable)

const helloReplyTable = {
  ...helloTable,
  /** 0: not refused. */
  refuseCode: ['uint64', 15],
  /** The refusal in words, for the log of the other side. */
  remark: ['string', 16]
} as const

/** The answer, on the same connection; replies and pongs follow it in that direction. */
export type HelloReply = MessageOf<typeof helloReplyTable>
export const helloReplyCodec = codec('HelloReply', helloReplyTable)
