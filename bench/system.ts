import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import net from 'node:net'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Load, Space, Timing } from './options.ts'
import type { Report } from './window.ts'

/** Something that can be measured: ours, the floor, or a peer. */
export interface System {
  readonly name: string
  readonly space: Space
  /** Resolves when it serves; otherwise to the reason why it is left out here. */
  start(): Promise<string | null>
  /** Resolves when the system does nothing of its own any more that would take the disk from the others; left out: it never does. */
  rest?(): Promise<void>
  /** One run of a load; null when the system has nothing like it. */
  measure(load: Load, timing: Timing): Promise<Report | null>
  /** The original's Java benchmark producer (peers/javaProducer.ts) can send to it through this name server; left out: it cannot. */
  target?(): Promise<Target>
  /** Ends its processes and removes its data. Also after a start that failed. */
  stop(): Promise<void>
}

/** Where the clients of a system that speaks the remoting protocol find it, and its processes. */
export interface Target {
  nameServer: string
  /** Of the leader. */
  address: string
  leaderPid: number
  followerPids: number[]
}

const here = dirname(fileURLToPath(import.meta.url))
const exec = promisify(execFile)
const STOP_TIMEOUT_MS = 10_000

/** Runs one of the load programs beside this file and resolves to what it reports. */
export async function runLoad(program: string, args: readonly string[]): Promise<Report> {
  const { stdout } = await exec(process.execPath, [join(here, program), ...args])
  return JSON.parse(stdout) as Report
}

/** Requests that an open loop may have open in all: what comes due in a pause of a tenth of a second at 40 000 a second. */
const OPEN_LOOP_REQUESTS = 4_096

/** Arguments that all load programs take. */
export function loadArgs(load: Load, { seconds, warmupSeconds, rate }: Timing): string[] {
  return Object.entries({
    size: load.sizeBytes,
    connections: load.connections,
    inflight: rate === null ? load.inflight : Math.ceil(OPEN_LOOP_REQUESTS / load.connections),
    seconds,
    warmup: warmupSeconds,
    rate: rate ?? 0
  }).flatMap(([name, value]) => [`--${name}`, String(value)])
}

/** `--pid` words for a leader and its followers. */
export function pidArgs(leader: number, followers: readonly number[]): string[] {
  const words = [`leader=${leader}`, ...followers.map((pid, i) => `follower${i + 1}=${pid}`)]
  return words.flatMap(word => ['--pid', word])
}

/** A directory on the file system that our own cluster writes to, so that all have the same disk. */
export function makeDirectory(name: string): Promise<string> {
  return mkdtemp(join('/tmp', `ledgermq-bench-${name}-`))
}

/** Programs of a peer; none outlives this process. */
export class Children {
  readonly #running = new Set<ChildProcess>()
  readonly #onExit = (): void => {
    for (const child of this.#running) child.kill('SIGKILL')
  }

  constructor() {
    process.once('exit', this.#onExit)
  }

  /** Starts a program with its output in a file. */
  spawn(
    program: string,
    args: readonly string[],
    outputFile: string,
    env: Record<string, string> = {}
  ): ChildProcess {
    const output = openSync(outputFile, 'a')
    const child = spawn(program, args, {
      stdio: ['ignore', output, output],
      env: { ...process.env, ...env }
    })
    closeSync(output)
    this.add(child)
    return child
  }

  add(child: ChildProcess): void {
    this.#running.add(child)
    child.once('error', () => this.#running.delete(child))
    child.once('exit', () => this.#running.delete(child))
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#running].map(end))
    process.removeListener('exit', this.#onExit)
  }
}

function end(child: ChildProcess): Promise<void> {
  return new Promise(resolve => {
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
    child.once('exit', () => {
      clearTimeout(late)
      resolve()
    })
    child.kill('SIGTERM')
  })
}

/** Below the range that the kernel takes for outgoing connections, and away from the usual ports of the peers. */
const PORT_MIN = 21_000
const PORT_MAX = 29_000

/** The first of `count` neighbouring ports of this host that are free now. */
export async function freePorts(count: number): Promise<number> {
  for (let first = PORT_MIN; first < PORT_MAX; first += count) {
    const ports = Array.from({ length: count }, (_, i) => first + i)
    const free = await Promise.all(ports.map(isFree))
    if (!free.includes(false)) return first
  }
  throw new Error(`no ${count} free ports in a row from ${PORT_MIN} to ${PORT_MAX}`)
}

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = net.createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

/** Tries until it gets something else than null; errors of the tries count as null. */
export async function until<T>(timeoutMs: number, attempt: () => Promise<T | null>): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    let failure: unknown
    try {
      const result = await attempt()
      if (result !== null) return result
    } catch (error) {
      failure = error
    }
    if (performance.now() > deadline) {
      throw new Error(`not ready after ${timeoutMs / 1000} s`, { cause: failure })
    }
    await new Promise(resolve => setTimeout(resolve, 200))
  }
}
