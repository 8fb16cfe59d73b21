import { fatal } from './roles.ts'
import type { PeerLink, RaftState } from './state.ts'
import { type HelloFacts, type Member, type NodeId, RefuseCode } from './types.ts'

/** Who belongs to the group: the first start, and who is refused at the door (R-D7, R-M6). */

/** Facts of a Hello or HelloReply. False: refused, the effect says why. */
export function helloSeen(s: RaftState, peer: NodeId, hello: HelloFacts): boolean {
  const code = judge(s, peer, hello)
  if (code !== RefuseCode.none) {
    const remark = remarkFor(s, code, hello)
    s.emit({ kind: 'refuseHello', peer, code, remark })
    return false
  }
  const link = linkOf(s, peer)
  const role = s.role
  if (
    role.kind === 'follower' &&
    role.leaderId === peer &&
    role.leaderIncarnation > 0 &&
    hello.incarnation > role.leaderIncarnation
  )
    leaderIsGone(s, peer)
  link.uid = hello.nodeUid
  link.incarnation = hello.incarnation
  link.empty = hello.empty
  link.hello = hello
  tryFound(s)
  return true
}

export function linkOf(s: RaftState, peer: NodeId): PeerLink {
  let link = s.links.get(peer)
  if (link === undefined) {
    link = { uid: '', incarnation: 0, linked: false, empty: false, hello: null }
    s.links.set(peer, link)
  }
  return link
}

function judge(s: RaftState, peer: NodeId, hello: HelloFacts): RefuseCode {
  if (peer !== hello.nodeId || peer === s.selfId) return RefuseCode.self
  if (s.clusterId !== '' && hello.clusterId !== '' && hello.clusterId !== s.clusterId)
    return RefuseCode.clusterId
  const members = s.configuration?.members
  if (members === undefined)
    return s.options.peers.some(known => known.id === peer)
      ? RefuseCode.none
      : RefuseCode.unknownMember
  const member = members.find(known => known.id === peer)
  if (member === undefined) return RefuseCode.unknownMember
  return member.uid === hello.nodeUid ? RefuseCode.none : RefuseCode.otherUid
}

function remarkFor(s: RaftState, code: RefuseCode, hello: HelloFacts): string {
  const { nodeId, clusterId } = hello
  if (code === RefuseCode.clusterId)
    return `${nodeId} belongs to group ${clusterId}, ${s.selfId} to group ${s.clusterId}`
  if (code === RefuseCode.unknownMember) return `${nodeId} is no member of the group`
  if (code === RefuseCode.self) return `${nodeId} is not who was expected here`
  return hello.empty
    ? `${nodeId} comes with an empty disk, but the group has started before and knows ${nodeId} with other data; put its data directory back`
    : `${nodeId} comes with other data than the group knows of ${nodeId}; put its own data directory back`
}

/** A peer will not have this node. An empty one ends: it could only wait for ever. */
export function helloRefused(s: RaftState, peer: NodeId, code: number, remark: string): void {
  const identity = code === RefuseCode.otherUid || code === RefuseCode.unknownMember
  if (identity && s.log.lastIndex === 0) {
    fatal(s, `${peer} refuses this node: ${remark}`, false)
    return
  }
  s.report('error', `${peer} refuses this node: ${remark}`)
}

/** First start: every other member said that it is empty too; from here on this node is a voter of these (R-D7). */
export function tryFound(s: RaftState): void {
  if (s.configuration !== null || s.log.lastIndex > 0 || s.clusterId !== '' || !s.started) return
  const founders: Member[] = []
  const missing: NodeId[] = []
  for (const { id, raftAddress, brokerAddress } of s.options.peers) {
    const link = s.links.get(id)
    const uid = id === s.selfId ? s.options.selfUid : (link?.uid ?? '')
    if (id !== s.selfId && (link === undefined || uid === '' || !link.empty)) missing.push(id)
    founders.push({ id, uid, role: 'voter', raftAddress, brokerAddress, priority: 0 })
  }
  if (missing.length > 0) {
    const waited = missing.join()
    if (s.waitedFor === waited) return
    s.waitedFor = waited
    s.report(
      'info',
      `this disk is empty: the first start of a group needs all its members, waiting for ${missing.join(', ')}`
    )
    return
  }
  s.founders = founders
  s.configurationChanged()
  s.saveHardState()
  s.report('info', `first start: the group is founded by ${founders.map(f => f.id).join(', ')}`)
  s.waitFullTimeout()
}

/**
 * The leader's process is proven gone (fast path). The proof is about this leader in this term and this process; it
 * ends with the next append. A majority has to have such proof, one broken link changes nothing.
 */
export function leaderIsGone(s: RaftState, peer: NodeId): void {
  const role = s.role
  if (role.kind !== 'follower' || role.leaderId !== peer || role.leaderGone) return
  role.leaderGone = true
  s.report('warn', `the process of the leader ${peer} of term ${s.term} is gone`)
  s.waitTicks(Math.max(1, s.random.between(0, s.ticks.goneJitter) + s.campaignDelayTicks))
}
