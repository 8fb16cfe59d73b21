/**
 * What only this broker knows: requests about its Raft group. The original's codes end at 200151 (5.3.3), those of its proxies
 * and tools at 400 000; these are far from both, and like all above 65 535 they travel in JSON headers only.
 */
export const RaftRequestCode = {
  /** Of the node that is asked; body of the answer: RaftStatusBody. */
  RAFT_STATUS: 710_001,
  /** Fields `op` (add, remove, update), `id`, `raftAddr` and `priority` (left out: as it is). Leader only. Answer: RaftAnswerBody. */
  RAFT_CHANGE_MEMBER: 710_002,
  /** Field `id` ('' or left out: the best follower). Leader only. Answer: RaftAnswerBody. */
  RAFT_TRANSFER_LEADER: 710_003,
  /** Field `ids`: voters that are gone for good, by commas. Of the node that is asked. Answer: RaftAnswerBody. */
  RAFT_FORCE_RECOVER: 710_004
} as const
