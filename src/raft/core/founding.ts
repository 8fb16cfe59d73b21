import { noteApplicant } from './members.ts'
import { becomeFollower } from './roles.ts'
import { type PeerLink, type RaftState, REMOVED_ADVICE } from './state.ts'
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
  if (s.applicants.get(peer)?.uid === hello.nodeUid) s.applicants.delete(peer)
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
  const { configuration } = s
  if (configuration === null) {
    // A node that waits to be added learns from the leader who else is a member.
    const known = s.options.peers.some(other => other.id === peer) || hello.clusterId !== ''
    return known ? RefuseCode.none : RefuseCode.unknownMember
  }
  const link = s.links.get(peer)
  if (link?.linked === true && link.uid !== hello.nodeUid) return RefuseCode.otherUid
  if (s.beganOtherwise(hello.clusterId)) return RefuseCode.none
  const { members, version } = configuration
  if (s.mayBeMember(peer, hello.nodeUid)) return RefuseCode.none
  // The sender knows a later configuration than this node, which may be behind; not so a leader.
  if (hello.configurationVersion > version && s.role.kind !== 'leader') return RefuseCode.none
  const { nodeUid: uid, memberRole, raftAddress, brokerAddress } = hello
  // Before its first configuration is committed it may take itself for a founder of a group that never was.
  const wasMember = memberRole !== 'none' && hello.clusterId !== ''
  const wasVoter = wasMember && memberRole === 'voter'
  noteApplicant(s, peer, { uid, wasVoter, raftAddress, brokerAddress })
  const committed = s.committedConfiguration?.configuration
  const idIsTaken = members.some(known => known.id === peer)
  if (
    committed !== undefined &&
    (wasMember || (memberRole !== 'none' && !idIsTaken)) &&
    committed.version >= hello.configurationVersion &&
    !committed.members.some(known => known.id === peer && known.uid === uid)
  )
    return RefuseCode.removed
  return idIsTaken ? RefuseCode.otherUid : RefuseCode.unknownMember
}

function remarkFor(s: RaftState, code: RefuseCode, hello: HelloFacts): string {
  const { nodeId, clusterId } = hello
  if (code === RefuseCode.clusterId)
    return `${nodeId} belongs to group ${clusterId}, ${s.selfId} to group ${s.clusterId}`
  if (code === RefuseCode.unknownMember) return `${nodeId} is no member of the group`
  if (code === RefuseCode.self) return `${nodeId} is not who was expected here`
  if (code === RefuseCode.removed)
    return `${nodeId} was removed from the group, by configuration ${s.committedConfiguration?.configuration.version}`
  if (s.isLinked(nodeId)) return `another node runs as ${nodeId} and is connected: stop one of them`
  return hello.empty
    ? `${nodeId} comes with an empty disk, the group knows it with other data`
    : `${nodeId} comes with other data than the group knows of it; put its own data directory back, or empty it`
}

/** A peer will not have this node: it waits to be let in, or hears that it was put out. */
export function helloRefused(s: RaftState, peer: NodeId, code: number, remark: string): void {
  if (code === RefuseCode.removed) {
    putOut(s, peer, remark)
    return
  }
  const unknown = code === RefuseCode.unknownMember || code === RefuseCode.otherUid
  if (!unknown || s.isVoter) {
    s.report('error', `${peer} refuses this node: ${remark}`)
    return
  }
  if (s.saidWaiting) return
  s.saidWaiting = true
  const advice =
    code === RefuseCode.otherUid
      ? 'the leader takes it back by itself as soon as the disk that the group knows has been silent for a moment'
      : `it waits until it is added: mqadmin raftAddMember -c <clusterName> -i ${s.selfId}`
  s.report(
    'warn',
    `the group exists and this node is no member of it (${peer}: ${remark}): ${advice}`
  )
}

function putOut(s: RaftState, peer: NodeId, remark: string): void {
  if (s.removed || s.role.kind === 'stopped') return
  s.removed = true
  s.report('error', `${peer} says: ${remark}. This node ends its part: ${REMOVED_ADVICE}`)
  becomeFollower(s, s.term, null)
  s.waitFullTimeout()
  s.emit({ kind: 'configurationChanged' })
}

/** First start: every other member said that it is empty too; from here on this node is a voter of these (R-D7). */
export function tryFound(s: RaftState): void {
  if (s.configuration !== null || s.log.lastIndex > 0 || s.clusterId !== '' || !s.started) return
  const founders: Member[] = []
  const missing: NodeId[] = []
  for (const { id, raftAddress, brokerAddress: own } of s.options.peers) {
    const link = s.links.get(id)
    const brokerAddress = link?.hello?.brokerAddress ?? own
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
