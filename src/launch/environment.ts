import { homedir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import type { CommandIo } from '../admin/index.ts'
import { createRealPlatform, LOG_LEVELS, Logging, type LogLevel } from '../platform/index.ts'

/** What a program takes from its environment, by the original's names where it has one. */
export interface Environment {
  /** ROCKETMQ_HOME: where `bin` and `conf` lie; the launcher sets it when the user did not. */
  rocketmqHome: string
  userHome: string
  /** NAMESRV_ADDR; undefined when not set. */
  namesrvAddress: string | undefined
  /** LEDGERMQ_LOG_DIR, else the original's `~/logs/rocketmqlogs`. */
  logDirectory: string
  /** LEDGERMQ_LOG_LEVEL, else info. */
  logLevel: LogLevel
}

/** @throws Error with a sentence for a value that cannot be used. */
export function readEnvironment(): Environment {
  const { env } = process
  const userHome = homedir()
  return {
    rocketmqHome: env['ROCKETMQ_HOME'] ?? '',
    userHome,
    namesrvAddress: env['NAMESRV_ADDR'] || undefined,
    logDirectory: env['LEDGERMQ_LOG_DIR'] || join(userHome, 'logs', 'rocketmqlogs'),
    logLevel: parseLevel(env['LEDGERMQ_LOG_LEVEL'])
  }
}

function parseLevel(text: string | undefined): LogLevel {
  if (text === undefined || text === '') return 'info'
  const level = LOG_LEVELS.find(name => name === text.toLowerCase())
  if (level === undefined) {
    throw new Error(`LEDGERMQ_LOG_LEVEL=${text}: use one of ${LOG_LEVELS.join(', ')}`)
  }
  return level
}

export function openLogging(environment: Environment): Logging {
  return new Logging({
    directory: environment.logDirectory,
    level: environment.logLevel,
    console: true
  })
}

/** The terminal and this machine, for a command that is run as a program of its own. */
export function commandIo(platform = createRealPlatform()): CommandIo {
  return {
    stdout: text => void process.stdout.write(text),
    stderr: text => void process.stderr.write(text),
    env: process.env,
    platform
  }
}
