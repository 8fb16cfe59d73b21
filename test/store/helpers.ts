import { createRealPlatform, type Logger, silentLogger } from '../../src/platform/index.ts'
import {
  decodeStoredMessages,
  encodeProperties,
  type StoredMessage
} from '../../src/protocol/index.ts'
import type { RaftOptions } from '../../src/raft/index.ts'
import {
  type AppendFailure,
  type BatchAppendWaiter,
  type KeyValueChange,
  type KeyValueStore,
  type MessageInput,
  openStore,
  type PullRequest,
  type PullResult,
  type Store,
  type StoreOptions
} from '../../src/store/index.ts'
import { FakeLog, FakeNode } from '../helpers/fakeRaft.ts'

export const HOST = Buffer.from([127, 0, 0, 1, 0, 0, 0x2a, 0x9f])

/** Survives the store that stands on it, as files survive a process. */
export class MemoryState implements KeyValueStore {
  pairs = new Map<string, Buffer>()
  writes = 0
  syncs = 0
  failing = false
  readonly compacted: [string, string][] = []
  #gate: Promise<void> | null = null

  /** Writes wait until what comes back is called. */
  hold(): () => void {
    let open = (): void => {}
    this.#gate = new Promise(resolve => {
      open = resolve
    })
    return () => {
      this.#gate = null
      open()
    }
  }

  async *entries(from: Buffer, to: Buffer): AsyncGenerator<[Buffer, Buffer][]> {
    const low = from.toString('hex')
    const high = to.toString('hex')
    const keys = [...this.pairs.keys()]
      .filter(key => key >= low && key < high)
      .sort((a, b) => (a < b ? -1 : 1))
    yield keys.map(key => [Buffer.from(key, 'hex'), this.pairs.get(key)!] as [Buffer, Buffer])
  }

  async write(changes: readonly KeyValueChange[], options: { sync: boolean }): Promise<void> {
    await this.#gate
    if (this.failing) throw new Error('no space left')
    for (const { key, value } of changes) {
      if (value === null) this.pairs.delete(key.toString('hex'))
      else this.pairs.set(key.toString('hex'), Buffer.from(value))
    }
    this.writes += 1
    if (options.sync) this.syncs += 1
  }

  async compact(from: Buffer, to: Buffer): Promise<void> {
    this.compacted.push([from.toString('hex'), to.toString('hex')])
  }

  async close(): Promise<void> {}
}

export interface Opened {
  store: Store
  node: FakeNode
  log: FakeLog
  state: MemoryState
}

export async function openFake(
  directory: string,
  more: Partial<StoreOptions> & { log?: FakeLog; state?: MemoryState; logger?: Logger } = {}
): Promise<Opened> {
  const { log = new FakeLog(), state = new MemoryState(), ...options } = more
  let node: FakeNode | null = null
  const store = await openStore({
    platform: createRealPlatform(),
    logger: silentLogger,
    directory,
    raft: { ...raftOptions(0), segmentBytes: 1024 ** 3 },
    openState: async () => state,
    openNode: async (raft, source, machine) => {
      node = new FakeNode(log, raft, source, machine)
      return node
    },
    checkpointIntervalMs: 3_600_000,
    deleteWhenHours: [],
    diskForcePercent: 100,
    diskFullPercent: 100,
    diskMaxUsedPercent: 100,
    ...options
  })
  await store.start()
  return { store, node: node!, log, state }
}

/** A store on a fake node that leads and commits by itself. */
export async function openLeader(
  directory: string,
  more: Parameters<typeof openFake>[1] = {}
): Promise<Opened> {
  const opened = await openFake(directory, more)
  opened.node.lead()
  opened.node.automatic = true
  return opened
}

export function raftOptions(
  port: number
): Omit<RaftOptions, 'platform' | 'logger' | 'directory' | 'appliedIndex'> {
  return {
    group: 'g',
    selfId: 'n0',
    peers: [{ id: 'n0', host: '127.0.0.1', port }],
    segmentBytes: 1024 * 1024,
    flushMode: 'sync',
    flushIntervalMs: 20,
    preferredLeaderId: null,
    brokerAddress: '127.0.0.1:10911',
    tailCacheBytes: 8 * 1024 * 1024
  }
}

export function message(
  topic: string,
  queueId: number,
  body: string,
  properties: Record<string, string> = {}
): MessageInput {
  return {
    topic,
    queueId,
    flag: 0,
    sysFlag: 0,
    bornTimestamp: 1_700_000_000_123,
    bornHost: HOST,
    storeHost: HOST,
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body: Buffer.from(body),
    properties: encodeProperties(Object.entries(properties))
  }
}

/** Notes its end, and resolves `ended` with it. */
export class Waiter implements BatchAppendWaiter {
  queueOffset = -1
  physicalOffset = -1
  storeTimestamp = -1
  physicalOffsets: number[] = []
  queueOffsets: number[] = []
  result: 'stored' | AppendFailure | null = null
  readonly ended: Promise<'stored' | AppendFailure>
  #resolve!: (result: 'stored' | AppendFailure) => void

  constructor() {
    this.ended = new Promise(resolve => {
      this.#resolve = resolve
    })
  }

  stored(): void {
    this.#end('stored')
  }

  failed(reason: AppendFailure): void {
    this.#end(reason)
  }

  #end(result: 'stored' | AppendFailure): void {
    if (this.result !== null) throw new Error(`told twice: ${this.result}, then ${result}`)
    this.result = result
    this.#resolve(result)
  }
}

/** Appends and waits; throws when refused or failed. */
export async function send(store: Store, input: MessageInput): Promise<Waiter> {
  const waiter = new Waiter()
  const refusal = store.append(input, waiter)
  if (refusal !== null) throw new Error(`refused: ${refusal}`)
  const result = await waiter.ended
  if (result !== 'stored') throw new Error(`failed: ${result}`)
  return waiter
}

export async function pull(store: Store, request: Partial<PullRequest>): Promise<PullResult> {
  return await store.pull({
    topic: 'T',
    queueId: 0,
    offset: 0,
    maxMessages: 32,
    tagHashes: null,
    ...request
  })
}

export function messagesOf(result: PullResult): StoredMessage[] {
  return result.chunks.flatMap(chunk => decodeStoredMessages(chunk))
}

export function bodies(result: PullResult): string[] {
  return messagesOf(result).map(stored => stored.body.toString())
}

/** By UTF-16 code units, which is what `sort()` would do unasked. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Everything that replicas must agree on, and what can be read of it. */
export async function fingerprint(store: Store): Promise<unknown> {
  const { tables } = store
  const queues: unknown[] = []
  for (const topic of store.topicsWithQueues().sort(compareText)) {
    for (const queueId of store.queueIds(topic)) {
      const max = store.maxOffset(topic, queueId)
      if (max === 0) continue
      const units: unknown[] = []
      let offset = store.minOffset(topic, queueId)
      while (offset < max) {
        const some = await store.units(topic, queueId, offset, 1000)
        if (some.length === 0) throw new Error(`${topic}/${queueId} has no unit ${offset}`)
        units.push(...some)
        offset += some.length
      }
      queues.push([topic, queueId, store.minOffset(topic, queueId), max, units])
    }
  }
  return {
    queues,
    topics: sorted(tables.topics),
    topicsVersion: { ...tables.topicsVersion },
    groups: sorted(tables.groups),
    groupsVersion: { ...tables.groupsVersion },
    brokerConfig: sorted(tables.brokerConfig),
    offsets: sorted(tables.offsets).map(([key, value]) => [key, sorted(value)]),
    delays: Array.from({ length: 18 }, (_, level) => tables.delayProgress(level + 1)),
    timeMs: tables.timeMs,
    trim: { ...tables.trim },
    locks: tables.lockOwner('G', { topic: 'T', queueId: 0 }, tables.timeMs),
    values: sorted(tables.values('r')),
    timers: await store.timers({ dueMs: 0, position: 0 }, 1e15, 1e6),
    timerCount: tables.timers.count
  }
}

function sorted<K extends string | number, V>(map: ReadonlyMap<K, V>): [K, V][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1))
}
