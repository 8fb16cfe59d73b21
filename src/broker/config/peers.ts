/** One member of a Raft group as `dLegerPeers` names it. */
export interface PeerAddress {
  id: string
  host: string
  port: number
}

const peerText = /^([A-Za-z0-9_.]+)-(.+):(\d{1,5})$/

/** Reads `dLegerPeers`: `n0-127.0.0.1:40911;n1-…`; a sentence about the first part that is not understood, as text. */
export function parsePeers(text: string): PeerAddress[] | string {
  const peers: PeerAddress[] = []
  for (const part of text.split(';')) {
    const piece = part.trim()
    if (piece === '') continue
    const match = peerText.exec(piece)
    if (match === null) return `"${piece}" is not of the form n0-host:port`
    const peer = {
      id: match[1]!,
      host: match[2]!.replace(/^\[(.*)\]$/, '$1'),
      port: Number(match[3])
    }
    if (peer.port > 65_535) return `"${piece}" names port ${peer.port}, the highest is 65535`
    if (peers.some(other => other.id === peer.id)) return `${peer.id} stands there twice`
    peers.push(peer)
  }
  return peers.length === 0 ? 'it is empty' : peers
}

const digits = /\d+/

/** The broker id that a member shows while it does not lead: the number in its name + 1 (broker.md 6.3: n1 is 2). */
export function followerBrokerId(selfId: string): number {
  const match = digits.exec(selfId)
  return match === null ? 1 : Number(match[0]) + 1
}
