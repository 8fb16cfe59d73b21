export type RemotingErrorCode =
  /** The address is not `host:port`. */
  | 'LMQ_BAD_ADDRESS'
  /** The other side could not be reached in time; the request was not sent. */
  | 'LMQ_CONNECT_FAILED'
  /** The connection ended while the request waited; the other side may have carried it out. */
  | 'LMQ_CONNECTION_CLOSED'
  /** No answer in time; the other side may have carried the request out. */
  | 'LMQ_REQUEST_TIMEOUT'
  /** A limit of requests or bytes in flight is reached; the request was not sent. */
  | 'LMQ_TOO_MANY_REQUESTS'
  /** The request would be larger than a frame may be; it was not sent. */
  | 'LMQ_FRAME_TOO_LARGE'
  /** This client or server was closed. */
  | 'LMQ_CLOSED'

const RETRYABLE: Record<RemotingErrorCode, boolean> = {
  LMQ_BAD_ADDRESS: false,
  LMQ_CONNECT_FAILED: true,
  LMQ_CONNECTION_CLOSED: true,
  LMQ_REQUEST_TIMEOUT: true,
  LMQ_TOO_MANY_REQUESTS: true,
  LMQ_FRAME_TOO_LARGE: false,
  LMQ_CLOSED: false
}

/** A request that got no answer. */
export class RemotingError extends Error {
  readonly code: RemotingErrorCode
  /** Trying again, here or elsewhere, may succeed. */
  readonly retryable: boolean
  /** The request left this process, so the other side may have carried it out. */
  readonly mayHaveRun: boolean

  constructor(code: RemotingErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'RemotingError'
    this.code = code
    this.retryable = RETRYABLE[code]
    this.mayHaveRun = code === 'LMQ_CONNECTION_CLOSED' || code === 'LMQ_REQUEST_TIMEOUT'
  }
}
