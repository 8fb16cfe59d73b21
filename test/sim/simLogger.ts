import type { LogFields, Logger } from '../../src/platform/index.ts'

const LINES_MAX = 400

/** The last lines of all processes, for the report of a failing run. */
export class LogBook {
  readonly lines: string[] = []
  errors = 0
  /** Hears of each line. */
  listener: ((name: string, message: string) => void) | null = null
  readonly #nowMs: () => number

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  add(level: string, name: string, message: string, fields: LogFields = {}): void {
    const text = Object.entries(fields).map(([key, value]) => `${key}=${shown(value)}`)
    this.lines.push(`${this.#nowMs().toFixed(3)} ${name} ${level} ${message} ${text.join(' ')}`)
    if (this.lines.length > LINES_MAX * 2) this.lines.splice(0, LINES_MAX)
  }

  of(name: string, died: () => boolean): Logger {
    const at = (level: string) => (message: string, fields?: LogFields) => {
      if (died()) return
      if (level === 'error') this.errors += 1
      this.add(level, name, message, fields)
      this.listener?.(name, message)
    }
    return { debug: () => {}, info: at('info'), warn: at('WARN'), error: at('ERROR') }
  }
}

function shown(value: unknown): string {
  if (value instanceof Error) return value.stack ?? value.message
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}
