import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { Admin, Producer, PullConsumer, type SendResult } from '../../src/client/index.ts'
import { bin, type Ended, freePort, Program, runProgram } from './programs.ts'

const GROUP = 'RaftNode00'
const CLUSTER = 'RaftCluster'
export const TOPIC = 'Disks'
const WAIT_MS = 60_000
const POLL_MS = 50
const CALL_TIMEOUT_MS = 2000

type Status = Awaited<ReturnType<Admin['brokers']['raftStatus']>>

interface Member {
  readonly id: string
  readonly address: string
  readonly raftPort: number
  readonly home: string
  program: Program | null
}

/** Three brokers and a name server as processes of bin, on a disk each that a test may exchange, copy or empty. */
export class BrokerGroup {
  readonly nameServer: string
  readonly admin: Admin
  readonly producer: Producer
  readonly #t: Test
  readonly #members: readonly Member[]
  readonly #lines: readonly string[]

  private constructor(
    t: Test,
    nameServer: string,
    members: readonly Member[],
    lines: readonly string[]
  ) {
    this.#t = t
    this.nameServer = nameServer
    this.#members = members
    this.#lines = lines
    this.admin = new Admin({ nameServers: nameServer, callTimeoutMs: CALL_TIMEOUT_MS })
    this.producer = new Producer({ nameServers: nameServer, group: 'P' })
    t.teardown(async () => {
      await this.producer.close()
      await this.admin.close()
    })
  }

  /** All of them run, one leads, and the topic is there with one queue. `lines`: of the brokers' files, beside the usual. */
  static async start(t: Test, lines: readonly string[]): Promise<BrokerGroup> {
    const port = await freePort()
    const root = t.testdirName
    const members: Member[] = []
    for (const id of ['n0', 'n1', 'n2']) {
      const address = `127.0.0.1:${await freePort()}`
      members.push({ id, address, raftPort: await freePort(), home: join(root, id), program: null })
    }
    const group = new BrokerGroup(t, `127.0.0.1:${port}`, members, lines)
    t.testdir()
    const file = join(root, 'namesrv.conf')
    writeFileSync(file, `listenPort=${port}\nkvConfigPath=${root}/kv.json\n`)
    await new Program(t, bin('mqnamesrv'), ['-c', file]).says(/boot success/)
    await group.boot(...group.ids)
    await group.leader()
    await group.until('the topic', () =>
      group.admin.createTopic(CLUSTER, TOPIC, { queues: 1 }).then(
        () => true,
        () => false
      )
    )
    await group.producer.start()
    return group
  }

  get ids(): string[] {
    return this.#members.map(({ id }) => id)
  }

  address(id: string): string {
    return this.#member(id).address
  }

  store(id: string): string {
    return join(this.#member(id).home, 'store')
  }

  #member(id: string): Member {
    return this.#members.find(member => member.id === id)!
  }

  /** Starts one with these variables; does not wait. */
  run(id: string, env: Record<string, string> = {}): Program {
    const program = this.another(id, env)
    this.#member(id).program = program
    return program
  }

  /** Starts one as this, which may be running. */
  another(id: string, env: Record<string, string> = {}): Program {
    const { home, address, raftPort } = this.#member(id)
    mkdirSync(home, { recursive: true })
    const peers = this.#members.map(other => `${other.id}-127.0.0.1:${other.raftPort}`)
    const lines = [
      `brokerClusterName=${CLUSTER}`,
      `brokerName=${GROUP}`,
      `listenPort=${address.split(':')[1]}`,
      'brokerIP1=127.0.0.1',
      `namesrvAddr=${this.nameServer}`,
      `storePathRootDir=${home}/store`,
      'enableDLegerCommitLog=true',
      `dLegerGroup=${GROUP}`,
      `dLegerPeers=${peers.join(';')}`,
      `dLegerSelfId=${id}`,
      'shutdownGraceSeconds=1',
      ...this.#lines
    ]
    const file = join(home, `broker-${raftPort}.conf`)
    writeFileSync(file, `${lines.join('\n')}\n`)
    return new Program(this.#t, bin('mqbroker'), ['-c', file], {
      env: { LEDGERMQ_LOG_DIR: join(home, 'logs'), ...env }
    })
  }

  /** Starts these and waits until they take connections. */
  async boot(...ids: string[]): Promise<void> {
    await Promise.all(ids.map(id => this.run(id).says(/boot success/)))
  }

  end(id: string, signal: 'SIGKILL' | 'SIGTERM'): Promise<Ended> {
    const { program } = this.#member(id)
    program!.child.kill(signal)
    return program!.ended
  }

  async kill(...ids: string[]): Promise<void> {
    await Promise.all(ids.map(id => this.end(id, 'SIGKILL')))
  }

  status(id: string): Promise<Status> {
    return this.admin.brokers.raftStatus(this.address(id))
  }

  /** Null while it does not answer. */
  statusOrNull(id: string): Promise<Status | null> {
    return this.status(id).catch(() => null)
  }

  /** Waits for one of these (default: all) that leads and takes messages. */
  async leader(ids = this.ids): Promise<string> {
    let found = ''
    await this.until('a leader', async () => {
      for (const id of ids) {
        const status = await this.statusOrNull(id)
        if (status?.role === 'leader') found = id
      }
      return found !== ''
    })
    return found
  }

  /** Waits until each of these is a voter in order and has applied all that the leader has. */
  async whole(ids = this.ids): Promise<void> {
    const { commitIndex } = await this.status(await this.leader(ids))
    for (const id of ids) {
      await this.until(`${id} to be whole`, async () => {
        const status = await this.statusOrNull(id)
        if (status === null || status.trouble !== '' || status.membership !== 'voter') return false
        return status.appliedIndex >= commitIndex
      })
    }
  }

  async until(what: string, holds: () => Promise<boolean>): Promise<void> {
    const deadlineMs = performance.now() + WAIT_MS
    while (!(await holds())) {
      if (performance.now() > deadlineMs) {
        const states = await Promise.all(this.ids.map(id => this.#describe(id)))
        throw new Error(`waited in vain for ${what}: ${states.join('; ')}`)
      }
      await new Promise(resolve => setTimeout(resolve, POLL_MS))
    }
  }

  async #describe(id: string): Promise<string> {
    const { program } = this.#member(id)
    const { exitCode, signalCode } = program!.child
    if (exitCode !== null || signalCode !== null)
      return `${id} ended with ${exitCode ?? signalCode}: ${program!.stderr}`
    const status = await this.statusOrNull(id)
    if (status === null) return `${id} does not answer: ${program!.stdout}${program!.stderr}`
    const { role, term, lastIndex, commitIndex, appliedIndex, leaderId, trouble } = status
    return `${id} ${role} t${term} ${leaderId} last ${lastIndex} commit ${commitIndex} applied ${appliedIndex} ${trouble}`
  }

  /** Repeats until one is acknowledged. */
  async send(body: string): Promise<SendResult> {
    const deadlineMs = performance.now() + WAIT_MS
    for (;;) {
      try {
        return await this.producer.send({ topic: TOPIC, body })
      } catch (error) {
        if (performance.now() > deadlineMs) throw error
        await new Promise(resolve => setTimeout(resolve, POLL_MS))
      }
    }
  }

  /** Bodies of the topic from an offset on, as far as they come at once. */
  async bodies(from: SendResult): Promise<string[]> {
    const consumer = new PullConsumer({ nameServers: this.nameServer, group: 'C' })
    await consumer.start()
    try {
      const { messages } = await consumer.fetch(from.queue, from.queueOffset, {
        maxMessages: 32,
        waitMs: 20_000
      })
      return messages.map(({ body }) => body.toString())
    } finally {
      await consumer.close()
    }
  }

  /** Runs mqadmin; its status with all that it printed. */
  async mqadmin(...argv: string[]): Promise<{ status: number | null; text: string }> {
    const { status, stdout, stderr } = await runProgram(this.#t, bin('mqadmin'), [
      ...argv,
      '-n',
      this.nameServer
    ])
    return { status, text: `${stdout}${stderr}` }
  }
}
