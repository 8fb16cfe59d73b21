import { bean } from '../json/bean.ts'
import { boolean, integer, list, type Of, text } from '../json/schema.ts'

/** A member of a Raft group as the asked node sees it; lag and match are the leader's knowledge. */
export const RaftMemberInfo = bean('RaftMemberInfo', {
  active: boolean(),
  brokerAddr: text(),
  connected: boolean(),
  id: text(),
  lagEntries: integer(),
  matchIndex: integer(),
  priority: integer(),
  raftAddr: text(),
  role: text(),
  uid: text()
})
export type RaftMemberInfo = Of<typeof RaftMemberInfo>

/** Answer to RAFT_STATUS (710001). */
export const RaftStatusBody = bean('RaftStatusBody', {
  appliedIndex: integer(),
  commitIndex: integer(),
  configurationCommitted: boolean(),
  configurationVersion: integer(),
  durableIndex: integer(),
  group: text(),
  lastIndex: integer(),
  leaderAddr: text(),
  leaderId: text(),
  members: list(RaftMemberInfo),
  membership: text(),
  role: text(),
  selfId: text(),
  term: integer(),
  trouble: text()
})
export type RaftStatusBody = Of<typeof RaftStatusBody>

/** Answer to RAFT_CHANGE_MEMBER, RAFT_TRANSFER_LEADER, RAFT_FORCE_RECOVER (710002 to 710004). `refusal` '': done. */
export const RaftAnswerBody = bean('RaftAnswerBody', {
  leaderId: text(),
  refusal: text(),
  text: text()
})
export type RaftAnswerBody = Of<typeof RaftAnswerBody>
