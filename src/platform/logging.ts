import { join } from 'node:path'
import winston from 'winston'
import { BoundedLogger } from './boundedLogger.ts'
import type { LogFields, Logger } from './logger.ts'
import { realClock } from './realClock.ts'

/** Names of the levels, most urgent first. */
export const LOG_LEVELS = ['error', 'warn', 'info', 'debug'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

export interface LoggingOptions {
  /** Where the files go; made when missing. RocketMQ's layout: `~/logs/rocketmqlogs/broker.log`, `store.log`, … */
  directory: string
  /** Least urgent level that is written. */
  level: LogLevel
  /** Whether events also go to the standard output. */
  console: boolean
  /** Size in bytes at which a file is set aside. */
  fileBytesMax?: number
  /** How many files of one name are kept, the current one included. */
  filesMax?: number
}

const FILE_BYTES_MAX = 128 * 1024 * 1024
const FILES_MAX = 10
/** Names and values in a line may be a stranger's: what is longer is cut. */
const FIELD_CHARACTERS_MAX = 2_000

/** The loggers of one process or one broker; each name has a file of its own. */
export class Logging {
  readonly #options: LoggingOptions
  readonly #loggers = new Map<string, { target: winston.Logger; logger: Logger }>()

  constructor(options: LoggingOptions) {
    this.#options = options
  }

  /** The logger that writes to `<name>.log`. */
  logger(name: string): Logger {
    let entry = this.#loggers.get(name)
    if (entry === undefined) {
      const target = this.#create(name)
      entry = { target, logger: new BoundedLogger(new WinstonLogger(target), realClock) }
      this.#loggers.set(name, entry)
    }
    return entry.logger
  }

  /** Resolves when everything is written. */
  async close(): Promise<void> {
    await Promise.all([...this.#loggers.values()].map(({ target }) => ended(target)))
    this.#loggers.clear()
  }

  #create(name: string): winston.Logger {
    const { directory, level, console, fileBytesMax, filesMax } = this.#options
    const transports: winston.transport[] = [
      new winston.transports.File({
        filename: join(directory, `${name}.log`),
        maxsize: fileBytesMax ?? FILE_BYTES_MAX,
        maxFiles: filesMax ?? FILES_MAX,
        tailable: true
      })
    ]
    if (console) transports.push(new winston.transports.Console())
    const logger = winston.createLogger({
      level,
      format: winston.format.combine(
        winston.format.timestamp({ format: 'YYYY-MM-DD HH:mm:ss,SSS' }),
        winston.format.printf(event => lineOf(name, event))
      ),
      transports
    })
    // A full disk must not end the process because it could not say so.
    logger.on('error', () => {})
    return logger
  }
}

function ended(logger: winston.Logger): Promise<void> {
  return new Promise(resolve => {
    // The logger's own 'finish' comes before its files are written out.
    let open = logger.transports.length
    for (const transport of logger.transports) {
      transport.once('finish', () => {
        open -= 1
        if (open === 0) resolve()
      })
    }
    logger.end()
  })
}

class WinstonLogger implements Logger {
  readonly #target: winston.Logger

  constructor(target: winston.Logger) {
    this.#target = target
  }

  debug(message: string, fields?: LogFields): void {
    this.#target.debug(message, { fields })
  }

  info(message: string, fields?: LogFields): void {
    this.#target.info(message, { fields })
  }

  warn(message: string, fields?: LogFields): void {
    this.#target.warn(message, { fields })
  }

  error(message: string, fields?: LogFields): void {
    this.#target.error(message, { fields })
  }
}

/** `2026-11-21 10:00:00,123 INFO broker - role changed term=4 role=leader`: one event, one line. */
function lineOf(name: string, event: winston.Logform.TransformableInfo): string {
  const { timestamp, level, message } = event
  const fields = event['fields'] as LogFields | undefined
  const sentence = oneLine(cut(String(message)))
  return `${timestamp} ${level.toUpperCase()} ${name} - ${sentence}${tail(fields)}`
}

function tail(fields: LogFields | undefined): string {
  if (fields === undefined) return ''
  let text = ''
  for (const [key, value] of Object.entries(fields)) text += ` ${key}=${plain(value)}`
  return text
}

function plain(value: unknown): string {
  if (value instanceof Error) return JSON.stringify(cut(value.stack ?? value.message))
  if (typeof value === 'string') {
    const text = cut(value)
    return /^[\w./:@%;,+-]+$/.test(text) ? text : JSON.stringify(text)
  }
  if (typeof value === 'object' && value !== null) return oneLine(cut(JSON.stringify(value)))
  return String(value)
}

function cut(text: string): string {
  if (text.length <= FIELD_CHARACTERS_MAX) return text
  return `${text.slice(0, FIELD_CHARACTERS_MAX)}… (${text.length} characters)`
}

function oneLine(text: string): string {
  return text.replaceAll('\n', '\\n').replaceAll('\r', '\\r')
}
