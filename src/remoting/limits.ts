/** What one connection, and all of one server or client, may cost. Every figure can be set; nothing grows past it. */
export interface RemotingLimits {
  /** Whole frame with its length word, both directions (remoting.md 1.7). */
  frameBytesMax: number
  /** Connections at a time; a server refuses further ones, a client closes the one idle longest. */
  connectionsMax: number
  /** A connection without traffic in either direction for so long is closed (remoting.md 5.3). Accuracy: one second. */
  idleMs: number
  /** Output waiting for a connection above which nothing more is read from it until all of it has left. */
  outputPauseBytes: number
  /** Output waiting for a connection above which it is dropped; above half of it requests of ours are refused. */
  outputMaxBytes: number
  /** A connection that takes nothing of its waiting output for so long is dropped. Accuracy: one second. */
  outputStallMs: number
  /** Output waiting on all connections together; above it the one with the most is dropped. */
  outputTotalMaxBytes: number
  /** Bytes of frames not yet complete on all connections together; above it the one with the most is dropped. */
  inputTotalMaxBytes: number
  /** Requests of one connection that handlers answer with a promise still open; above it nothing more is read from it. */
  handlingMax: number
  /** Requests of ours on one connection that wait for an answer. */
  invocationsMax: number
}

const MIB = 1_048_576

export const serverLimits: RemotingLimits = {
  frameBytesMax: 16 * MIB,
  connectionsMax: 20_000,
  idleMs: 120_000,
  outputPauseBytes: MIB,
  outputMaxBytes: 32 * MIB,
  outputStallMs: 30_000,
  outputTotalMaxBytes: 256 * MIB,
  inputTotalMaxBytes: 256 * MIB,
  handlingMax: 4_096,
  invocationsMax: 256
}

export const clientLimits: RemotingLimits = {
  ...serverLimits,
  connectionsMax: 1_024,
  invocationsMax: 65_535
}
