import { encodeHost, type RemotingCommand } from '../../protocol/index.ts'
import type { Connection } from '../../remoting/index.ts'
import type { Caller } from '../dispatch/handler.ts'

/**
 * How a member passes a request on: under a code of our own, which no client has and which the hot path does not look at, with the
 * real code and the client's address in header fields. The key is a secret that the group's first leader put into the log, so that
 * only members know it.
 */
export const FORWARDED_REQUEST = 9_900

const fields = {
  code: '__LMQ_CODE',
  key: '__LMQ_FWD',
  address: '__LMQ_ADDR',
  heldMs: '__LMQ_HELD',
  /** In an answer: the receiver does not lead, nothing was done. */
  notLeader: '__LMQ_NL'
} as const

/** Where the secret lies in the log's free values. */
export const forwardKeyRoom = 'broker'
export const forwardKeyName = 'forwardKey'

/** A copy of the request for another member; the original is left as it came. */
export function wrapForwarded(
  request: RemotingCommand,
  mark: { key: string; address: string; heldMs: number }
): RemotingCommand {
  return {
    ...request,
    code: FORWARDED_REQUEST,
    extFields: {
      ...request.extFields,
      [fields.code]: String(request.code),
      [fields.key]: mark.key,
      [fields.address]: mark.address,
      [fields.heldMs]: String(Math.round(mark.heldMs))
    }
  }
}

/** Who asks when nobody forwarded it: the other end of the connection. */
export function directCaller(connection: Connection): Caller {
  return {
    connection,
    address: connection.remoteAddress,
    hostBytes: connection.remoteHostBytes,
    forwarded: false,
    heldMs: 0
  }
}

/** The client's own request and address again; null when the key is not the group's, or the mark is not ours. */
export function unwrapForwarded(
  request: RemotingCommand,
  connection: Connection,
  key: string | undefined
): { request: RemotingCommand; caller: Caller } | null {
  const {
    [fields.code]: code,
    [fields.key]: given,
    [fields.address]: address,
    [fields.heldMs]: held,
    ...rest
  } = request.extFields ?? {}
  if (key === undefined || given !== key || code === undefined || address === undefined) return null
  const hostBytes = hostBytesOf(address)
  const heldMs = Number(held)
  if (hostBytes === null || !Number.isInteger(Number(code)) || !(heldMs >= 0)) return null
  return {
    request: { ...request, code: Number(code), extFields: rest },
    caller: { connection, address, hostBytes, forwarded: true, heldMs }
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
