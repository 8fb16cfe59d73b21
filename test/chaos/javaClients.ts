import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { createInterface } from 'node:readline'
import type { Recorder } from './bus.ts'
import type { HistoryEvent } from './events.ts'
import { JAVA, JAVA_GROUP } from './topics.ts'

const MAIN = 'ledgermq.interop.Chaos'

/** The command line of the original's client, or null where there is no Java or the scenarios of test/interop/java were never built. */
function javaCommand(nameServers: string, laneMs: number): string[] | null {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
  const out = join(process.env['INTEROP_CACHE'] ?? join(cache, 'ledgermq-interop'), 'java')
  if (!existsSync(join(out, 'classes', `${MAIN.replaceAll('.', '/')}.class`))) return null
  const classPath = `${join(out, 'classes')}:${readFileSync(join(out, 'classpath'), 'utf8').trim()}`
  return [
    ...['-Xmx128m', '-XX:+UseSerialGC', '-Drocketmq.client.logLevel=WARN'],
    ...[`-Duser.home=${join(out, 'home')}`, `-Drocketmq.client.logRoot=${join(out, 'home/logs')}`],
    ...['-cp', classPath, MAIN, nameServers, JAVA, JAVA_GROUP, String(laneMs)]
  ]
}

/** RocketMQ's own Java client as a sender for each queue of a topic and its orderly consumer, in a process of its own. */
export class JavaClients {
  readonly #child: ChildProcess
  #started: () => void = () => {}
  #drained: () => void = () => {}
  acknowledged = 0
  failed = 0

  private constructor(
    args: readonly string[],
    recorder: Recorder,
    tell: (event: HistoryEvent) => void
  ) {
    this.#child = spawn('java', args, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#child.once('exit', code => {
      if (code !== 0) throw new Error(`the Java client ended with status ${code}`)
    })
    const lines = createInterface({ input: this.#child.stdout! })
    lines.on('line', line => {
      if (!line.startsWith('{')) return
      if (line.includes('"started"')) return this.#started()
      if (line.includes('"drained"')) return this.#drained()
      const event = JSON.parse(line) as HistoryEvent
      if (event.op === 'send' && event.kind === 'ok') this.acknowledged += 1
      if (event.op === 'send' && event.kind === 'unknown') this.failed += 1
      recorder.add(event)
      tell(event)
    })
  }

  /** Null where it cannot run. Resolves when it consumes: to start it needs a name server, which a fault may take away. */
  static async start(
    nameServers: string,
    laneMs: number,
    recorder: Recorder,
    tell: (event: HistoryEvent) => void
  ): Promise<JavaClients | null> {
    const args = javaCommand(nameServers, laneMs)
    if (args === null) return null
    const clients = new JavaClients(args, recorder, tell)
    await new Promise<void>(resolve => {
      clients.#started = resolve
    })
    return clients
  }

  /** Resolves when the last send is settled. */
  async drain(): Promise<void> {
    const drained = new Promise<void>(resolve => {
      this.#drained = resolve
    })
    this.#child.stdin?.write('drain\n')
    await drained
  }

  async close(): Promise<void> {
    const gone = new Promise(resolve => this.#child.once('exit', resolve))
    this.#child.stdin?.end()
    await gone
  }
}
