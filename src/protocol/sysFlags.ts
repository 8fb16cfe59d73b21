/** Bits of a message's sysFlag (remoting.md 4.2). */
export const MessageSysFlag = {
  compressed: 0x1,
  multiTags: 0x2,
  transactionMask: 0xc,
  transactionNone: 0,
  transactionPrepared: 0x4,
  transactionCommit: 0x8,
  transactionRollback: 0xc,
  bornHostV6: 0x10,
  storeHostV6: 0x20,
  needUnwrap: 0x40,
  innerBatch: 0x80,
  compressionMask: 0x700,
  compressionLz4: 0x100,
  compressionZstd: 0x200,
  compressionZlib: 0x300
} as const

/** Bits of `perm` of a topic (remoting.md 2.14). */
export const TopicPerm = { inherit: 1, write: 2, read: 4, priority: 8 } as const

/** Bits of `topicSysFlag` (remoting.md 2.14). */
export const TopicSysFlag = { unit: 1, unitSub: 2 } as const
