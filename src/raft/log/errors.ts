import type { Fault } from './types.ts'

export type LogErrorCode =
  | 'LMQ_LOG_DAMAGED_ENTRY'
  | 'LMQ_LOG_TRIMMED'
  | 'LMQ_LOG_NOT_THERE'
  | 'LMQ_LOG_REPAIR'
  | 'LMQ_LOG_FAILED'
  | 'LMQ_LOG_CLOSED'
  | 'LMQ_LOG_UNUSABLE'

/** What the log answers when it cannot do what was asked. */
export class LogError extends Error {
  readonly code: LogErrorCode
  constructor(code: LogErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.code = code
  }
}

/** The entry is in the log, but its bytes are damaged; a peer has to give it back. */
export class DamagedEntryError extends LogError {
  readonly fault: Fault
  constructor(fault: Fault) {
    super('LMQ_LOG_DAMAGED_ENTRY', `entry ${fault.index} at ${fault.position} is damaged`)
    this.fault = fault
  }
}

/** The entry was there and has been trimmed. */
export class TrimmedError extends LogError {
  constructor(what: string, firstIndex: number, startPosition: number) {
    super(
      'LMQ_LOG_TRIMMED',
      `${what} was trimmed: the log begins with entry ${firstIndex} at ${startPosition}`
    )
  }
}

/** The bytes offered are not the damaged entry. */
export class RepairError extends LogError {
  constructor(index: number, why: string) {
    super('LMQ_LOG_REPAIR', `entry ${index} cannot be repaired with these bytes: ${why}`)
  }
}

/** A write, a sync or the hard state failed before: nothing is written any more (R-D8). */
export class LogFailedError extends LogError {
  constructor(cause: Error) {
    super('LMQ_LOG_FAILED', `the log's disk failed: ${cause.message}`, { cause })
  }
}

/** The directory cannot be opened as a log; the message says why and what can be done. */
export class UnusableLogError extends LogError {
  constructor(message: string, options?: ErrorOptions) {
    super('LMQ_LOG_UNUSABLE', message, options)
  }
}
