export type ProtocolErrorCode =
  /** A frame that cannot be read: its connection must be closed, there is no answer (remoting.md 1.7). */
  | 'LMQ_BAD_FRAME'
  /** A header field is missing or does not parse; the request can be answered. */
  | 'LMQ_BAD_HEADER'
  /** A body (JSON, batch, stored message, properties) does not parse; the request can be answered. */
  | 'LMQ_BAD_BODY'

/** The other side sent what cannot be read. Never worth another try with the same bytes. */
export class ProtocolError extends Error {
  readonly code: ProtocolErrorCode
  readonly retryable = false

  constructor(code: ProtocolErrorCode, message: string, options?: { cause: unknown }) {
    super(message, options)
    this.name = 'ProtocolError'
    this.code = code
  }
}
