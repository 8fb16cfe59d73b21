import type { Logger } from '../../platform/index.ts'
import type { Member, RaftCore } from '../core/index.ts'
import type { RaftOptions, RaftPeer } from '../types.ts'
import { factsOf } from './greetings.ts'
import type { Address, PeerAddresses } from './peerStream.ts'
import type { Transport } from './transport.ts'

/**
 * Whom a node connects to, and where: the members of the configuration at its addresses, and at those of the own file where
 * they differ, so that a group that was moved as a whole finds itself again. Before there is a configuration, the file's. And whoever
 * gives a snapshot: he may have become a member while this node was away.
 */
function peersOf(
  core: RaftCore,
  { peers, selfId }: RaftOptions,
  giver: Member | null
): PeerAddresses[] {
  const wanted = new Map<string, Address[]>()
  const add = (id: string, address: Address | null): void => {
    if (id === selfId) return
    const known = wanted.get(id) ?? []
    wanted.set(id, known)
    const same = known.some(at => at.host === address?.host && at.port === address.port)
    if (address !== null && !same) known.push(address)
  }
  for (const { id, raftAddress } of [...core.possibleMembers].reverse())
    add(id, parseAddress(raftAddress))
  const belongs = core.configuration !== null
  for (const { id, host, port } of peers) if (!belongs || wanted.has(id)) add(id, { host, port })
  if (giver !== null) add(giver.id, parseAddress(giver.raftAddress))
  return [...wanted]
    .map(([id, addresses]) => ({ id, addresses }))
    .filter(({ addresses }) => addresses.length > 0)
}

/** Returns those whose streams stood and are gone now. */
export function meetPeers(
  core: RaftCore,
  options: RaftOptions,
  transport: Transport,
  giver: Member | null
): string[] {
  const lost = transport.connectTo(peersOf(core, options, giver))
  transport.keepOnly(hello => core.keepsConnection(factsOf(hello)))
  return lost
}

/** null: `text` is not host:port. */
export function parseAddress(text: string): Address | null {
  const at = text.lastIndexOf(':')
  const port = Number(text.slice(at + 1))
  if (at < 1 || !Number.isInteger(port) || port < 1 || port > 65_535) return null
  return { host: text.slice(0, at), port }
}

/** The file is for the first start; what it says otherwise than the group's configuration is said, and does not hold (R-M6). */
export function reportContradictions(
  members: readonly Member[],
  peers: readonly RaftPeer[],
  logger: Logger
): void {
  const byName = (a: string, b: string): number => (a < b ? -1 : 1)
  const ids = [...new Set(members.map(member => member.id))].sort(byName)
  const listed = peers.map(peer => peer.id).sort(byName)
  if (ids.join() !== listed.join()) {
    logger.warn(
      'dLegerPeers names other members than the group has: those of the group hold, the file may be brought up to date',
      { members: ids.join(' '), dLegerPeers: listed.join(' ') }
    )
  }
  for (const { id, host, port } of peers) {
    const member = members.findLast(known => known.id === id)
    if (member === undefined || member.raftAddress === `${host}:${port}`) continue
    logger.warn(
      `dLegerPeers has another address for ${id} than the group: it is tried second, mqadmin raftUpdateMember changes the group's`,
      { group: member.raftAddress, dLegerPeers: `${host}:${port}` }
    )
  }
}
