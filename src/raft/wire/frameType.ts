/** Byte 6 of a frame. Unknown ones are ignored. */
export const FrameType = {
  hello: 1,
  helloReply: 2,
  append: 3,
  appendReply: 4,
  vote: 5,
  voteReply: 6,
  timeoutNow: 7,
  repair: 8,
  repairReply: 9,
  /** Keeps a connection honest: answered by a pong on the same connection. No header. */
  ping: 10,
  pong: 11,
  snapshotOffer: 12,
  snapshotDone: 13,
  /** A follower pulls a piece of what it was offered, on its own stream. */
  fileRange: 14,
  fileRangeReply: 15
} as const
