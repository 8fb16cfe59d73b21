/**
 * What kind of failure a `ClientError` tells of.
 *
 * | code | meaning |
 * |---|---|
 * | `BAD_ARGUMENT` | what was given cannot be right; nothing was sent |
 * | `NOT_STARTED`, `CLOSED` | the client was not started yet, or closed |
 * | `NO_NAME_SERVER` | none of the name servers answered |
 * | `NO_ROUTE` | no name server knows the topic |
 * | `NO_LEADER` | the broker group has no leader at present |
 * | `CONNECTION` | a server cannot be reached, or the connection was lost: what was sent may have arrived |
 * | `TIMEOUT` | no answer in time: what was sent may have arrived |
 * | `MOVED` | another broker leads by now |
 * | `REFUSED` | a server answered with the code in `responseCode` |
 * | `MALFORMED_ANSWER` | an answer that cannot be read |
 * | `TOO_MANY_IN_FLIGHT` | a limit of this client was reached |
 */
export type ClientErrorCode =
  | 'BAD_ARGUMENT'
  | 'NOT_STARTED'
  | 'CLOSED'
  | 'NO_NAME_SERVER'
  | 'NO_ROUTE'
  | 'NO_LEADER'
  | 'CONNECTION'
  | 'TIMEOUT'
  | 'MOVED'
  | 'REFUSED'
  | 'MALFORMED_ANSWER'
  | 'TOO_MANY_IN_FLIGHT'

/** What a `ClientError` may know besides its code. */
export interface ClientErrorDetails {
  /** RocketMQ's response code when a server answered, else null. */
  responseCode?: number
  /** `host:port` of the server concerned. */
  address?: string
  cause?: unknown
}

const RETRYABLE: ReadonlySet<ClientErrorCode> = new Set([
  'NO_NAME_SERVER',
  'NO_ROUTE',
  'NO_LEADER',
  'CONNECTION',
  'TIMEOUT',
  'MOVED',
  'TOO_MANY_IN_FLIGHT'
])

/** Response codes after which the same request may succeed: remoting.md 5.6. */
const RETRYABLE_RESPONSES: ReadonlySet<number> = new Set([1, 2, 14, 16, 17, 204, 205, 215, 1500])

/** The only error that this client's calls reject with. `message` is one sentence for people. */
export class ClientError extends Error {
  override readonly name = 'ClientError'
  /** What kind of failure it is. */
  readonly code: ClientErrorCode
  /** The server's response code, null when no server answered. */
  readonly responseCode: number | null
  /** `host:port` of the server concerned, null when there was none. */
  readonly address: string | null
  /** True when the same call may succeed later without any change to it. */
  readonly retryable: boolean

  constructor(code: ClientErrorCode, message: string, details: ClientErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.responseCode = details.responseCode ?? null
    this.address = details.address ?? null
    this.retryable =
      RETRYABLE.has(code) ||
      (code === 'REFUSED' && RETRYABLE_RESPONSES.has(details.responseCode ?? -1))
  }
}

/** A server answered with a code that the caller has no use for. */
export function refused(address: string, responseCode: number, remark: string | null): ClientError {
  const text = remark === null || remark === '' ? `code ${responseCode} without a remark` : remark
  return new ClientError('REFUSED', text, { responseCode, address })
}

export function badArgument(message: string): ClientError {
  return new ClientError('BAD_ARGUMENT', message)
}

export function closedError(cause?: unknown): ClientError {
  return new ClientError('CLOSED', 'the client was closed', { cause })
}

export function malformedAnswer(address: string, cause: unknown): ClientError {
  const message = `the answer of ${address} cannot be read: ${asError(cause).message}`
  return new ClientError('MALFORMED_ANSWER', message, { address, cause })
}

/** Whatever was thrown, as an error that has a message. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown })
}

/** True for a refusal with this response code. */
export function isRefusal(error: unknown, responseCode: number): error is ClientError {
  return error instanceof ClientError && error.responseCode === responseCode
}
