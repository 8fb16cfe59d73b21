import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import process from 'node:process'
import type { Platform } from '../../platform/index.ts'
import { writeCopy } from './configCopy.ts'
import type { Member } from './layout.ts'

const POLL_MS = 50
/** A broker that replays a large log before it opens its port. */
const START_TIMEOUT_MS = 60_000
/** `shutdownGraceSeconds` of a stopping leader is 35. */
const STOP_TIMEOUT_MS = 50_000
const CONNECT_TIMEOUT_MS = 1000

/** Starts, finds and ends the cluster's processes, each known by its pid file. */
export class Processes {
  readonly #root: string
  readonly #platform: Platform

  constructor(root: string, platform: Platform) {
    this.#root = root
    this.#platform = platform
  }

  /** The process id of a running member, or null. A pid file left behind by a dead process counts for nothing. */
  async pid(member: Member): Promise<number | null> {
    const { disk } = this.#platform
    if (!(await disk.exists(member.pidFile))) return null
    const pid = Number((await disk.readFile(member.pidFile)).toString('ascii').trim())
    return Number.isInteger(pid) && isOurs(pid, member) ? pid : null
  }

  /**
   * Starts a member and resolves when it answers on its port.
   * @throws Error with a plain sentence when a port is taken or the process ends.
   */
  async start(member: Member): Promise<void> {
    const { disk } = this.#platform
    for (const port of member.ports) {
      if (await this.answers(port)) {
        throw new Error(
          `Port ${port}, which ${member.name} needs, is held by another program. ` +
            'Stop that one, or move this cluster: PORT_OFFSET=1000 scripts/fast-try.sh'
        )
      }
    }
    for (const file of [member.pidFile, member.outputFile]) await disk.makeDirectory(dirname(file))
    await disk.makeDirectory(member.logDirectory)
    await writeCopy(member.config, disk)
    const output = openSync(member.outputFile, 'a')
    const [program = '', ...rest] = member.command
    const child = spawn(join(this.#root, 'bin', program), rest, {
      detached: true,
      stdio: ['ignore', output, output],
      env: { ...process.env, ROCKETMQ_HOME: this.#root, LEDGERMQ_LOG_DIR: member.logDirectory }
    })
    closeSync(output)
    child.unref()
    await disk.writeFileAtomic(member.pidFile, Buffer.from(`${child.pid}\n`))
    await this.#untilServing(child, member)
  }

  /** Why a member that was started is not running any more: its last words. Null while it runs. */
  async ending(member: Member): Promise<string | null> {
    return (await this.pid(member)) === null ? lastLines(member) : null
  }

  /** Asks the member to end (SIGTERM) and resolves when it is gone; false if it was not running. */
  async stop(member: Member): Promise<boolean> {
    return this.#end(member, 'SIGTERM')
  }

  /** kill -9; false if it was not running. */
  async kill(member: Member): Promise<boolean> {
    return this.#end(member, 'SIGKILL')
  }

  /** Whether something on this host takes connections on the port. */
  answers(port: number): Promise<boolean> {
    return new Promise(resolve => {
      const socket = this.#platform.network.connect({
        host: '127.0.0.1',
        port,
        timeoutMs: CONNECT_TIMEOUT_MS
      })
      socket.onConnect(() => {
        resolve(true)
        socket.destroy()
      })
      socket.onClose(() => resolve(false))
    })
  }

  async #anyAnswers(ports: readonly number[]): Promise<boolean> {
    const answers = await Promise.all(ports.map(port => this.answers(port)))
    return answers.includes(true)
  }

  pause(ms: number): Promise<void> {
    return new Promise(resolve => this.#platform.clock.after(ms, resolve))
  }

  async #untilServing(child: ChildProcess, member: Member): Promise<void> {
    const { clock } = this.#platform
    let ended: string | null = null
    child.once('error', error => {
      ended = error.message
    })
    child.once('exit', (code, signal) => {
      ended = signal === null ? `it ended with status ${code}` : `it was ended by ${signal}`
    })
    const deadlineMs = clock.monotonicMs() + START_TIMEOUT_MS
    for (;;) {
      if (ended !== null) {
        throw new Error(`${member.name} did not start: ${ended}.\n${lastLines(member)}`)
      }
      if (await this.answers(member.port)) return
      if (clock.monotonicMs() > deadlineMs) {
        throw new Error(
          `${member.name} does not answer on port ${member.port} after ${START_TIMEOUT_MS / 1000} s. ` +
            `What it said is in ${member.outputFile}`
        )
      }
      await this.pause(POLL_MS)
    }
  }

  async #end(member: Member, signal: 'SIGTERM' | 'SIGKILL'): Promise<boolean> {
    const pid = await this.pid(member)
    if (pid === null) {
      await this.#platform.disk.remove(member.pidFile)
      return false
    }
    process.kill(pid, signal)
    // A stopped process (kill -STOP) would never see the SIGTERM.
    if (signal === 'SIGTERM') process.kill(pid, 'SIGCONT')
    const { clock } = this.#platform
    const deadlineMs = clock.monotonicMs() + STOP_TIMEOUT_MS
    while (isOurs(pid, member)) {
      if (clock.monotonicMs() > deadlineMs) process.kill(pid, 'SIGKILL')
      await this.pause(POLL_MS)
    }
    // The main thread is gone first; one that still waits for the disk keeps the ports.
    while ((await this.#anyAnswers(member.ports)) && clock.monotonicMs() < deadlineMs) {
      await this.pause(POLL_MS)
    }
    await this.#platform.disk.remove(member.pidFile)
    return true
  }
}

/** Whether the process lives and is the member, not another one that got its number. */
function isOurs(pid: number, member: Member): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  let commandLine: string
  let state: string
  try {
    commandLine = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
    state = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.[0] ?? ''
  } catch (error) {
    // Without a /proc the number is all there is.
    return !existsSync('/proc/self') || (error as NodeJS.ErrnoException).code !== 'ENOENT'
  }
  // A dying process loses its command line before its ports; a zombie has lost both.
  if (commandLine === '') return state !== 'Z' && state !== 'X'
  return commandLine.includes(member.config.file)
}

function lastLines(member: Member): string {
  try {
    return readFileSync(member.outputFile, 'utf8').trimEnd().split('\n').slice(-5).join('\n')
  } catch {
    return `See ${member.outputFile}`
  }
}
