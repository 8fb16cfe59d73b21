/** One event a call: `message` is a plain sentence, `fields` the figures and names that belong to it. */
export interface Logger {
  /** Of use to who looks for a fault. */
  debug(message: string, fields?: LogFields): void
  /** The usual course of things. */
  info(message: string, fields?: LogFields): void
  /** Something went wrong and is made good. */
  warn(message: string, fields?: LogFields): void
  /** Something went wrong that stays so. */
  error(message: string, fields?: LogFields): void
}

export type LogFields = Readonly<Record<string, unknown>>

/** Swallows everything; for tests and tools. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {}
}
