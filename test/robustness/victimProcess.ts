import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

export interface VictimSettings {
  directory: string
  /** Of the members for each other, one for each member. */
  raftPorts: readonly number[]
  /** Broker settings beside the usual ones. */
  broker: Record<string, string>
}

/** What a victim says of itself; memory is looked at after a garbage collection. */
export interface VictimReport {
  nameServerPort: number
  brokerPorts: number[]
  /** A broker leads: it takes writes and has its topics. */
  ready: boolean
  rssBytes: number
  /** Heap in use, and what hangs on it outside: buffers. */
  heapBytes: number
  /** Longest time since the last report that the event loop stood still. */
  longestStallMs: number
  lines: { debug: number; info: number; warn: number; error: number }
  /** Of all lines but the debug ones. */
  logBytes: number
  errors: string[]
  warnings: string[]
  connections: number
  held: number
  topics: number
  groups: number
}

/** The parent's side of a victim. */
export class VictimProcess {
  readonly #child: ChildProcess
  #first: VictimReport
  #stderr = ''

  private constructor(child: ChildProcess, first: VictimReport) {
    this.#child = child
    this.#first = first
    child.stderr?.on('data', chunk => {
      this.#stderr = (this.#stderr + String(chunk)).slice(-8_000)
    })
  }

  /** Resolves when it serves. */
  static async start(settings: VictimSettings): Promise<VictimProcess> {
    const child = fork(new URL('./victim.js', import.meta.url), [JSON.stringify(settings)], {
      execArgv: ['--expose-gc', '--unhandled-rejections=strict'],
      stdio: ['ignore', 'inherit', 'pipe', 'ipc']
    })
    let stderr = ''
    child.stderr?.on('data', chunk => {
      stderr += String(chunk)
    })
    const first = await Promise.race([
      once(child, 'message').then(([message]) => message as VictimReport),
      once(child, 'exit').then(([code]) => {
        throw new Error(`the victim ended with ${code} at its start: ${stderr}`)
      })
    ])
    const victim = new VictimProcess(child, first)
    for (let last = first; !last.ready; ) last = await victim.report()
    return victim
  }

  get brokerPorts(): readonly number[] {
    return this.#first.brokerPorts
  }

  get nameServerPort(): number {
    return this.#first.nameServerPort
  }

  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** What it wrote to its standard error last. */
  get lastWords(): string {
    return this.#stderr
  }

  async report(): Promise<VictimReport> {
    if (!this.alive) throw new Error(`the victim has died: ${this.#stderr}`)
    const done = new AbortController()
    const options = { signal: done.signal }
    const answered = once(this.#child, 'message', options).then(
      ([message]) => message as VictimReport
    )
    const ended = once(this.#child, 'exit', options).then(([code, signal]) => {
      throw new Error(`the victim has died (${code ?? signal}): ${this.#stderr}`)
    })
    this.#child.send('report')
    try {
      return await Promise.race([answered, ended])
    } finally {
      // The one that did not happen is not waited for any more.
      ended.catch(() => {})
      answered.catch(() => {})
      done.abort()
    }
  }

  async stop(): Promise<void> {
    if (!this.alive) return
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await ended
  }
}
