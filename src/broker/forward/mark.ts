import { encodeHost, type RemotingCommand } from '../../protocol/index.ts'
import type { Connection } from '../../remoting/index.ts'
import type { Caller } from '../dispatch/handler.ts'

/**
 * How a member marks a request that it forwards: header fields that no client has. The key is a secret that the group's first
 * leader put into the log, so that only members know it: what stands in a client's own such fields is not believed.
 */
const fields = {
  key: '__LMQ_FWD',
  address: '__LMQ_ADDR',
  heldMs: '__LMQ_HELD',
  /** In an answer: the receiver does not lead, nothing was done. */
  notLeader: '__LMQ_NL'
} as const

/** Where the secret lies in the log's free values. */
export const forwardKeyRoom = 'broker'
export const forwardKeyName = 'forwardKey'

/** A copy of the request for another member; the original is left as it came. The body is copied: it may have to wait. */
export function markForwarded(
  request: RemotingCommand,
  mark: { key: string; address: string; heldMs: number }
): RemotingCommand {
  return {
    ...request,
    extFields: {
      ...request.extFields,
      [fields.key]: mark.key,
      [fields.address]: mark.address,
      [fields.heldMs]: String(Math.round(mark.heldMs))
    }
  }
}

/** Whether a header carries the mark at all, believed or not. */
export function isMarked(request: RemotingCommand): boolean {
  return request.extFields?.[fields.key] !== undefined
}

/** Who asks: the connection's other end, or the client that a member forwards for. Takes the mark off. */
export function callerOf(
  request: RemotingCommand,
  connection: Connection,
  key: string | undefined
): Caller {
  const direct = {
    connection,
    address: connection.remoteAddress,
    hostBytes: connection.remoteHostBytes,
    forwarded: false,
    heldMs: 0
  }
  const ext = request.extFields
  if (ext === null || ext[fields.key] === undefined) return direct
  const { [fields.key]: given, [fields.address]: address, [fields.heldMs]: held, ...rest } = ext
  request.extFields = rest
  if (key === undefined || given !== key || address === undefined) return direct
  const hostBytes = hostBytesOf(address)
  if (hostBytes === null) return direct
  const heldMs = Number(held)
  return {
    connection,
    address,
    hostBytes,
    forwarded: true,
    heldMs: Number.isFinite(heldMs) && heldMs > 0 ? heldMs : 0
  }
}

function hostBytesOf(address: string): Buffer | null {
  const colon = address.lastIndexOf(':')
  const port = Number(address.slice(colon + 1))
  if (colon < 1 || !Number.isInteger(port) || port < 0 || port > 65_535) return null
  try {
    return encodeHost(address.slice(0, colon).replace(/^\[(.*)\]$/, '$1'), port)
  } catch {
    return null
  }
}

/** Marks an answer: this node does not lead and did nothing. */
export function markNotLeader(answer: RemotingCommand): RemotingCommand {
  answer.extFields = { ...answer.extFields, [fields.notLeader]: '1' }
  return answer
}

export function isNotLeaderAnswer(answer: RemotingCommand): boolean {
  return answer.extFields?.[fields.notLeader] === '1'
}
