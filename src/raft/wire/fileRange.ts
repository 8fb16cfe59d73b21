import { codec, type MessageOf } from './codec.ts'

/**
 * How a follower pulls the files of a snapshot (raft.md 4.7): it asks on its own stream, the bytes come back behind the reply. So
 * they never stand in the way of the leader's appends, which travel on the leader's stream.
 */
const fileRangeTable = {
  snapshotId: ['string', 1],
  /** A segment's name, or that of the derived state. */
  name: ['string', 2],
  offset: ['uint64', 3],
  length: ['uint64', 4]
} as const

export type FileRange = MessageOf<typeof fileRangeTable>
export const fileRangeCodec = codec('FileRange', fileRangeTable)

const fileRangeReplyTable = {
  offset: ['uint64', 1],
  /** CRC-32 of the bytes behind it. */
  crc: ['uint64', 2],
  snapshotId: ['string', 4],
  name: ['string', 5],
  /** The sender does not keep this snapshot any more. */
  gone: ['bool', 6]
} as const

export type FileRangeReply = MessageOf<typeof fileRangeReplyTable>
export const fileRangeReplyCodec = codec('FileRangeReply', fileRangeReplyTable)
