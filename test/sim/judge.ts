import { crc32 } from 'node:zlib'
import type { Entry, RaftNode, RaftStatus, StateMachine } from '../../src/raft/index.ts'
import type { Store } from '../../src/store/index.ts'
import type { Archive } from './archive.ts'
import type { Machine } from './machine.ts'

/** State is compared at each index that is a multiple of this. */
const STATE_EVERY = 64
/** An acknowledgement and the commit that it makes lie no further apart. */
const ACKNOWLEDGEMENT_MS = 60_000
/** Why a node stopped that was asked to. */
const IN_ORDER = 'stopped'

interface Committed {
  /** When it was first applied. */
  readonly atMs: number
  /** The leader that committed it was of this term or an earlier one. */
  readonly committedBy: number
  readonly term: number
  readonly crc: number
  readonly position: number
  readonly bytes: number
}

interface Member {
  readonly machine: Machine
  node: RaftNode | null
  store: Store | null
  commitIndex: number
  term: number
  /** Of any process of it. */
  appliedEver: number
  highestLedTerm: number
  /** Its disk was harmed: what it acknowledged before may be gone. */
  harmedMs: number
  /** What its last process had on the disk for good. */
  syncedIndex: number
  /** It may have lost what it acknowledged, and has not got it back yet (R-D6). */
  recovering: boolean
}

export interface JudgeOptions {
  readonly syncFlush: boolean
  readonly segmentBytes: number
  readonly logDirectory: string
  readonly archive: Archive | null
  readonly membersChange: boolean
  nowMs(): number
  violation(text: string): void
}

/**
 * Watches the brokers' logs and state (raft.md 5.3): what is applied anywhere is one sequence for ever, on a majority of
 * disks when it is first applied, and leads to the same state on all of them.
 */
export class Judge {
  readonly #o: JudgeOptions
  readonly #members = new Map<string, Member>()
  readonly #committed: Committed[] = []
  readonly #leaders = new Map<number, string>()
  /** Entries from here on may have been lost by a power loss of all under ASYNC_FLUSH, until one is applied again. */
  #tentativeFrom = Number.MAX_SAFE_INTEGER
  /** Acknowledgements of these times may be lost. */
  readonly lossesMs: { readonly fromMs: number; readonly toMs: number }[] = []
  readonly #states = new Map<number, { text: string; by: string }>()
  appliedEntries = 0
  statesCompared = 0
  electionsWon = 0

  constructor(options: JudgeOptions) {
    this.#o = options
  }

  get committedCount(): number {
    return this.#committed.length
  }

  add(machine: Machine): void {
    this.#members.set(machine.name, {
      machine,
      node: null,
      store: null,
      commitIndex: 0,
      term: 0,
      appliedEver: 0,
      highestLedTerm: 0,
      harmedMs: Number.NEGATIVE_INFINITY,
      syncedIndex: 0,
      recovering: false
    })
  }

  harmed(machine: Machine): void {
    this.#member(machine).harmedMs = this.#o.nowMs()
  }

  /** Messages of a queue below it are gone by retention on some member. */
  trimmedTo(topic: string, queueId: number): number {
    let end = 0
    for (const { store } of this.#members.values())
      end = Math.max(end, store?.minOffset(topic, queueId) ?? 0)
    return end
  }

  /** The disk is another one. */
  wiped(machine: Machine): void {
    const member = this.#member(machine)
    member.harmedMs = this.#o.nowMs()
    member.appliedEver = 0
    member.highestLedTerm = 0
    member.syncedIndex = 0
    member.recovering = false
  }

  /**
   * ASYNC_FLUSH, and every machine is without power: entries that no disk has for good may be gone, and others come in
   * their place. What one disk has survives: the way out takes the greatest log.
   */
  allLosePower(): void {
    const all = [...this.#members.values()]
    let kept = Math.min(this.#committed.length, this.#tentativeFrom - 1)
    while (kept > 0 && !all.some(({ machine }) => this.#holds(machine, kept, true))) kept -= 1
    this.#tentativeFrom = Math.min(this.#tentativeFrom, kept + 1)
    const fromMs = this.#committed[kept]?.atMs
    if (fromMs !== undefined) this.lossesMs.push({ fromMs, toMs: this.#o.nowMs() })
    for (const member of all) member.syncedIndex = 0
  }

  #holds({ disk }: Machine, index: number, durable: boolean): boolean {
    const { segmentBytes, logDirectory } = this.#o
    const { position, crc, bytes } = this.#committed[index - 1]!
    const at = position % segmentBytes
    const path = `${logDirectory}/${String(position - at).padStart(20, '0')}`
    return disk.crcAt(path, at, bytes, durable) === crc
  }

  /** Another entry is committed where one was lost: what was there, and all behind it, never was. */
  #forgetFrom(index: number): void {
    this.#committed.length = index - 1
    this.#o.archive?.forgetFrom(index)
    for (const at of this.#states.keys()) if (at >= index) this.#states.delete(at)
    for (const member of this.#members.values()) {
      member.appliedEver = Math.min(member.appliedEver, index - 1)
    }
    this.#tentativeFrom = Number.MAX_SAFE_INTEGER
  }

  /** What stands between the log's node and the store. */
  watched(machine: Machine, store: StateMachine): StateMachine {
    const member = this.#member(machine)
    member.store = store as unknown as Store
    member.node = null
    const { process } = machine
    return {
      apply: entries => {
        if (process?.alive === true) this.#apply(member, entries, store)
      },
      roleChanged: status => {
        this.#role(member, status)
        store.roleChanged(status)
      },
      saveState: path =>
        store.saveState?.(path) ?? Promise.reject(new Error('there is no state to save')),
      mustWait: () => store.mustWait?.() === true
    }
  }

  opened(machine: Machine, node: RaftNode): void {
    const member = this.#member(machine)
    member.node = node
    member.commitIndex = 0
    member.term = node.term
    const { lastIndex, trouble, commitIndex } = node.status()
    // With a snapshot came a state of later than what it applied itself.
    member.appliedEver = Math.max(member.appliedEver, commitIndex)
    // A node that knows that something is gone says so, and does not vote by it (R-D6).
    if (lastIndex < member.syncedIndex && trouble === null) {
      this.#o.violation(
        `no silent cut: ${machine.name} had entries up to ${member.syncedIndex} on its disk and starts with ${lastIndex}`
      )
    }
    // It may cut from now on; how far it has come is asked again before it is gone.
    member.syncedIndex = 0
    if (member.recovering && trouble === null) {
      this.#o.violation(`${machine.name} was recovering and starts as if it were whole (R-D6)`)
    }
    if (trouble === 'damaged' && member.harmedMs === Number.NEGATIVE_INFINITY) {
      this.#o.violation(`${machine.name} has damaged entries, and nothing harmed its disk`)
    }
    if (node.term < member.highestLedTerm) {
      this.#o.violation(
        `${machine.name} led in term ${member.highestLedTerm} and starts with term ${node.term}`
      )
    }
  }

  /** Before its process is gone: what its log has for good must be there, or be claimed, when it comes back, unless the log `mayLose` it. */
  closing(machine: Machine, mayLose = false): void {
    const member = this.#member(machine)
    if (member.node === null) return
    const { durableIndex, stopReason, lastIndex, trouble } = member.node.status()
    member.recovering = trouble === 'recovering'
    if (!mayLose && (stopReason === null || stopReason === IN_ORDER))
      member.syncedIndex = Math.min(durableIndex, lastIndex)
  }

  closed(machine: Machine): void {
    this.#member(machine).node = null
  }

  /** What must never fall on a running node. */
  look(): void {
    for (const member of this.#members.values()) {
      const { node, machine } = member
      if (node === null) continue
      const { commitIndex, term } = node
      if (commitIndex < member.commitIndex) {
        this.#o.violation(
          `commit index of ${machine.name} fell from ${member.commitIndex} to ${commitIndex}`
        )
      }
      if (term < member.term) {
        this.#o.violation(`term of ${machine.name} fell from ${member.term} to ${term}`)
      }
      member.commitIndex = commitIndex
      member.term = term
    }
  }

  #member(machine: Machine): Member {
    return this.#members.get(machine.name)!
  }

  #role(member: Member, status: RaftStatus): void {
    if (status.role !== 'leader') return
    const { name } = member.machine
    const leader = this.#leaders.get(status.term)
    if (leader === undefined) {
      this.#leaders.set(status.term, name)
      this.electionsWon += 1
      const certain = this.#certainBefore(status.term)
      if (status.lastIndex < certain) {
        this.#o.violation(
          `leader completeness: ${name} leads in term ${status.term} with a log up to ${status.lastIndex}, entry ${certain} is committed`
        )
      }
    } else if (leader !== name) {
      this.#o.violation(
        `election safety: term ${status.term} has two leaders: ${leader} and ${name}`
      )
    }
    member.highestLedTerm = Math.max(member.highestLedTerm, status.term)
  }

  /**
   * The last entry that leaders of earlier terms committed. Votes may be counted late: of a term below that of the others, and
   * a leader of it, which nobody follows, has none of what was committed after it.
   */
  #certainBefore(term: number): number {
    let certain = Math.min(this.#committed.length, this.#tentativeFrom - 1)
    while (certain > 0 && this.#committed[certain - 1]!.committedBy >= term) certain -= 1
    return certain
  }

  #apply(member: Member, entries: readonly Entry[], store: StateMachine): void {
    let from = 0
    for (const [at, entry] of entries.entries()) {
      this.#compare(member, entry)
      if (entry.index % STATE_EVERY !== 0) continue
      store.apply(entries.slice(from, at + 1))
      from = at + 1
      this.#compareState(member, entry.index)
    }
    if (from === 0) store.apply(entries)
    else if (from < entries.length) store.apply(entries.slice(from))
    const last = entries.at(-1)
    if (last !== undefined) member.appliedEver = Math.max(member.appliedEver, last.index)
  }

  #compare(member: Member, entry: Entry): void {
    this.appliedEntries += 1
    const { name } = member.machine
    const crc = crc32(entry.bytes)
    let before = this.#committed[entry.index - 1]
    if (entry.index >= this.#tentativeFrom && before !== undefined) {
      const same = before.crc === crc && before.term === entry.term
      if (same) this.#tentativeFrom = entry.index + 1
      else {
        this.#forgetFrom(entry.index)
        before = undefined
      }
    }
    if (before === undefined) {
      this.#tentativeFrom = Number.MAX_SAFE_INTEGER
      if (entry.index !== this.#committed.length + 1) {
        this.#o.violation(
          `${name} applies entry ${entry.index}, the last one applied anywhere is ${this.#committed.length}`
        )
      }
      const { term, position } = entry
      const atMs = this.#o.nowMs()
      const committedBy = Math.max(...this.#leaders.keys())
      this.#committed.push({ atMs, committedBy, term, crc, position, bytes: entry.bytes.length })
      this.#o.archive?.add(entry)
      this.#onMajority(name, entry)
      return
    }
    if (before.crc !== crc || before.term !== entry.term || before.position !== entry.position) {
      this.#o.violation(
        `${name} applies another entry ${entry.index}: term ${entry.term} at ${entry.position}, before term ${before.term} at ${before.position}`
      )
    }
  }

  /** The commit rule, by the simulated disks themselves. */
  #onMajority(name: string, entry: Entry): void {
    const { syncFlush } = this.#o
    const holding = new Set<string>()
    for (const [id, { machine, harmedMs }] of this.#members) {
      const holds = this.#holds(machine, entry.index, syncFlush)
      if (holds || this.#o.nowMs() - harmedMs < ACKNOWLEDGEMENT_MS) holding.add(id)
    }
    const groups = this.#voters()
    for (const voters of groups) {
      if (voters.filter(id => holding.has(id)).length * 2 > voters.length) return
    }
    this.#o.violation(
      `${name} applies entry ${entry.index} (term ${entry.term}), which ${holding.size} of ${groups[0]!.length} disks hold`
    )
  }

  /** Who votes, as each node that runs has it: while that changes, they differ by one. */
  #voters(): readonly (readonly string[])[] {
    const all = [...this.#members.keys()]
    if (!this.#o.membersChange) return [all]
    const groups: (readonly string[])[] = []
    for (const { node } of this.#members.values()) {
      const members = node?.status().members ?? []
      const voters = members.filter(({ role }) => role === 'voter').map(({ id }) => id)
      if (voters.length > 0) groups.push(voters)
    }
    return groups.length === 0 ? [all] : groups
  }

  #compareState(member: Member, index: number): void {
    // A restart restores tables and queues of different indexes, up to what was applied before.
    if (index <= member.appliedEver) return
    const text = stateText(member.store!)
    const before = this.#states.get(index)
    if (before === undefined) {
      this.#states.set(index, { text, by: member.machine.name })
      return
    }
    this.statesCompared += 1
    if (before.text === text) return
    let at = 0
    while (before.text[at] === text[at]) at += 1
    const part = (whole: string): string => whole.slice(Math.max(0, at - 80), at + 80)
    this.#o.violation(
      `state after entry ${index} differs: on ${before.by} …${part(before.text)}…, on ${member.machine.name} …${part(text)}…`
    )
  }
}

/** All replicated state in one text, the same for the same state. */
export function stateText(store: Store): string {
  const { tables } = store
  const queues = store
    .topicsWithQueues()
    .sort(compareText)
    .map(topic => {
      const ends = store.queueIds(topic).map(id => [id, store.maxOffset(topic, id)])
      return [topic, ends]
    })
  return JSON.stringify([queues, plain(tables, true), inFlight(store)])
}

/** What pops gave out: a table without fields to be seen. */
function inFlight({ tables }: Store): string[] {
  const batches = [...tables.pops.all()].map(
    pop => `${JSON.stringify(pop.record)} ${pop.remainingOffsets()}`
  )
  for (const [name, queues] of tables.offsets) {
    const [topic, group] = name.split('@') as [string, string]
    for (const queueId of queues.keys()) {
      const order = tables.popOrder({ topic, group, queueId })
      if (order !== undefined) batches.push(`${name}@${queueId} ${JSON.stringify(order)}`)
    }
  }
  return batches.sort(compareText)
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function plain(value: unknown, top = false): unknown {
  if (value instanceof Map) {
    const pairs = [...value].map(([key, inner]) => [key, plain(inner)] as const)
    return pairs.sort(([a], [b]) => (String(a) < String(b) ? -1 : 1))
  }
  if (value instanceof Set) return [...value].map(String).sort(compareText)
  if (Array.isArray(value)) return value.map(inner => plain(inner))
  if (typeof value !== 'object' || value === null) return value
  const pairs = Object.entries(value)
    // Not state, but what the next checkpoint writes, and when.
    .filter(([key]) => !(top ? key === 'dirty' : key === 'flushes'))
    .map(([key, inner]) => [key, plain(inner)] as const)
  return pairs.sort(([a], [b]) => (a < b ? -1 : 1))
}
