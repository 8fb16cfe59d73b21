/**
 * A log in memory with a node on it that commits when the test says so. Several nodes may stand on one log
 * (replicas), and a node may go and another come (restart, kill): the log stays.
 */
import {
  type ChangeAnswer,
  ENTRY_HEADER_BYTES,
  type Entry,
  EntryKind,
  type LogReader,
  NotLeaderError,
  noCounters,
  type ProposalSource,
  type RaftNode,
  type RaftOptions,
  RaftStartError,
  type RaftStatus,
  type SegmentInfo,
  type StateMachine,
  type VerifiedRange
} from '../../src/raft/index.ts'

export class FakeLog implements LogReader {
  readonly entries: Entry[]
  startPosition = 0
  endPosition = 0
  committedPosition = 0
  commitIndex = 0
  term = 0
  timeMs = 1_700_000_000_000
  /** False: `peek` finds nothing, everything comes by `read`. */
  inMemory = true
  /** Reads at or behind this position fail as a damaged entry does. */
  damagedFrom = Number.MAX_SAFE_INTEGER
  /** What a patient reader waits for: then nothing is damaged any more. Null: nobody repairs. */
  repair: Promise<void> | null = null
  reads = 0
  segmentEntries = 10

  constructor(entries: Entry[] = []) {
    this.entries = entries
  }

  /** The log of another replica: the same entries, a beginning of its own. */
  fork(): FakeLog {
    const other = new FakeLog(this.entries)
    other.segmentEntries = this.segmentEntries
    other.learn(this)
    return other
  }

  /** What the other log has and knows to be committed. */
  learn(other: FakeLog): void {
    this.endPosition = other.endPosition
    this.committedPosition = other.committedPosition
    this.commitIndex = other.commitIndex
    this.term = other.term
  }

  append(kind: EntryKind, flags: number, count: number, bytes: Buffer): Entry {
    const entry = {
      index: this.entries.length + 1,
      term: this.term,
      position: this.endPosition,
      kind,
      flags,
      count,
      timeMs: this.timeMs,
      bytes: Buffer.from(bytes)
    }
    this.entries.push(entry)
    this.endPosition += bytes.length
    return entry
  }

  peek(position: number, length: number): Buffer | null {
    return this.inMemory ? this.#find(position, length) : null
  }

  async read(position: number, length: number): Promise<Buffer> {
    this.reads += 1
    await Promise.resolve()
    const found = position < this.damagedFrom ? this.#find(position, length) : null
    if (found === null) throw new Error(`nothing to read at ${position}`)
    return Buffer.from(found)
  }

  async readSized(
    position: number,
    headLength: number,
    sizeOf: (head: Buffer) => number
  ): Promise<Buffer> {
    const size = sizeOf(await this.read(position, headLength))
    return await this.read(position, size)
  }

  async patiently<T>(read: () => Promise<T>, patienceMs: number): Promise<T> {
    try {
      return await read()
    } catch (error) {
      if (this.repair === null || patienceMs <= 0) throw error
      await this.repair
      this.damagedFrom = Number.MAX_SAFE_INTEGER
      return await read()
    }
  }

  get firstIndex(): number {
    return this.entries.find(entry => entry.position >= this.startPosition)?.index ?? 1
  }

  async indexAt(position: number): Promise<number> {
    const entry = this.entries.findLast(found => found.position <= position)
    if (entry === undefined || position < this.startPosition) {
      throw new Error(`nothing lies at ${position}`)
    }
    return entry.index
  }

  async readEntries(fromIndex: number, maxBytes: number): Promise<readonly Entry[]> {
    this.reads += 1
    await Promise.resolve()
    const read: Entry[] = []
    let bytes = 0
    for (const entry of this.entries.slice(fromIndex - 1)) {
      if (entry.position < this.startPosition || entry.position >= this.damagedFrom) {
        if (read.length === 0) throw new Error(`entry ${entry.index} cannot be read`)
        break
      }
      bytes += entry.bytes.length
      if (bytes > maxBytes && read.length > 0) break
      read.push(entry)
    }
    return read
  }

  #find(position: number, length: number): Buffer | null {
    if (position < this.startPosition) return null
    for (const entry of this.entries) {
      const at = position - entry.position
      if (at >= 0 && at < entry.bytes.length) {
        return at >= ENTRY_HEADER_BYTES && at + length <= entry.bytes.length
          ? entry.bytes.subarray(at, at + length)
          : null
      }
    }
    return null
  }
}

export class FakeNode implements RaftNode {
  readonly log: FakeLog
  appliedIndex: number
  ready = false
  leading = false
  stopped = false
  diskRoom = true
  /** Commits and applies what is proposed at the end of the turn. */
  automatic = false
  /** Above it nothing of this node is durable; null: everything is. */
  durableLimit: number | null = null
  trims: { index: number; position: number }[] = []
  peerMatchIndexes: number[] = []
  readonly #source: ProposalSource
  readonly #machine: StateMachine
  #scheduled = false

  constructor(log: FakeLog, options: RaftOptions, source: ProposalSource, machine: StateMachine) {
    if (options.appliedIndex > log.entries.length) {
      throw new RaftStartError(
        'appliedBeyondLog',
        `applied ${options.appliedIndex}, log ${log.entries.length}`
      )
    }
    this.log = log
    this.appliedIndex = options.appliedIndex
    this.#source = source
    this.#machine = machine
  }

  get term(): number {
    return this.log.term
  }

  get leaderId(): string | null {
    return this.leading ? 'n0' : null
  }

  get commitIndex(): number {
    return this.log.commitIndex
  }

  get durableIndex(): number {
    return Math.min(this.durableLimit ?? Number.MAX_SAFE_INTEGER, this.log.entries.length)
  }

  async start(): Promise<void> {
    this.apply()
  }

  /** R-E9: an own no-op, committed and applied with everything before it; then it takes proposals. */
  lead(): void {
    this.log.term += 1
    this.leading = true
    this.#machine.roleChanged(this.status())
    this.log.append(EntryKind.noop, 0, 0, Buffer.alloc(ENTRY_HEADER_BYTES))
    this.commit()
    this.ready = true
    this.#machine.roleChanged(this.status())
  }

  follow(): void {
    this.leading = false
    this.ready = false
    this.#machine.roleChanged(this.status())
  }

  /** The role as it is, once more. */
  reportRole(): void {
    this.#machine.roleChanged(this.status())
  }

  wake(): void {
    if (!this.automatic || this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      if (!this.stopped && this.ready) this.commit()
    })
  }

  /** Takes what the store has, as entries; returns how many. */
  propose(): number {
    let taken = 0
    for (;;) {
      const proposal = this.#source.take()
      if (proposal === null) return taken
      proposal.seal(this.log.endPosition + ENTRY_HEADER_BYTES, this.log.timeMs)
      const { kind, flags, count, bytes } = proposal
      const entry = this.log.append(kind, flags, count, bytes)
      proposal.appended(entry.index, entry.term)
      taken += 1
    }
  }

  commit(upTo = Number.MAX_SAFE_INTEGER): void {
    if (this.ready) this.propose()
    const last = this.log.entries[Math.min(upTo, this.log.entries.length) - 1]
    if (last === undefined || last.index < this.log.commitIndex) return
    this.log.commitIndex = last.index
    this.log.committedPosition = last.position + last.bytes.length
    this.apply()
  }

  /** What is committed and not applied here; `entries` at most in one call. */
  apply(entries = Number.MAX_SAFE_INTEGER): void {
    while (this.appliedIndex < this.log.commitIndex) {
      const first = this.appliedIndex
      const end = Math.min(this.log.commitIndex, first + entries)
      this.appliedIndex = end
      this.#machine.apply(this.log.entries.slice(first, end))
    }
  }

  /** The uncommitted tail is lost, as when another leader overwrites it. */
  loseTail(): void {
    this.log.entries.length = this.log.commitIndex
    this.log.endPosition = this.log.committedPosition
  }

  timeMs(): number {
    return this.log.timeMs
  }

  async readIndex(): Promise<number> {
    if (!this.ready) throw new NotLeaderError(null)
    return this.appliedIndex
  }

  spaceSeen(): void {}

  async transferLeadership(): Promise<boolean> {
    return false
  }

  async handOver(): Promise<{ ok: boolean; reason: string }> {
    return { ok: false, reason: 'a fake' }
  }

  async changeMembership(): Promise<ChangeAnswer> {
    return this.forceRecover()
  }

  forceRecover(): ChangeAnswer {
    return { refusal: 'notLeader', text: 'a fake', leaderId: null }
  }

  async trimPrefix(index: number, position: number): Promise<void> {
    this.trims.push({ index, position })
    this.log.startPosition = position
  }

  snapshotFloor = Number.POSITIVE_INFINITY

  async verify(fromIndex: number, maxBytes: number): Promise<VerifiedRange> {
    const entries = await this.log.readEntries(fromIndex, maxBytes)
    let bytes = 0
    for (const entry of entries) bytes += entry.bytes.length
    return { nextIndex: fromIndex + entries.length, bytes, damagedEntries: 0, mendedUnits: 0 }
  }

  segments(): SegmentInfo[] {
    const segments: SegmentInfo[] = []
    for (let at = 0; at < this.log.entries.length; at += this.log.segmentEntries) {
      const first = this.log.entries[at]!
      const last =
        this.log.entries[Math.min(at + this.log.segmentEntries, this.log.entries.length) - 1]!
      if (first.position < this.log.startPosition) continue
      segments.push({
        firstPosition: first.position,
        bytes: last.position + last.bytes.length - first.position,
        firstIndex: first.index,
        lastTimeMs: last.timeMs,
        sealed: at + this.log.segmentEntries < this.log.entries.length
      })
    }
    return segments
  }

  status(): RaftStatus {
    return {
      group: 'g',
      selfId: 'n0',
      term: this.log.term,
      role: this.stopped ? 'stopped' : this.leading ? 'leader' : 'follower',
      ready: this.ready,
      leaderId: this.leaderId,
      leaderBrokerAddress: null,
      commitIndex: this.log.commitIndex,
      lastIndex: this.log.entries.length,
      appliedIndex: this.appliedIndex,
      durableIndex: this.durableIndex,
      trouble: null,
      lacksState: false,
      stopReason: null,
      peers: this.peerMatchIndexes.map((matchIndex, at) => ({
        id: `n${at + 1}`,
        connected: true,
        matchIndex,
        active: true,
        brokerAddress: null
      })),
      membership: 'voter',
      configurationVersion: 1,
      configurationCommitted: true,
      members: [],
      snapshots: [],
      counters: noCounters
    }
  }

  async stop(): Promise<void> {
    if (this.stopped) return
    this.stopped = true
    this.leading = false
    this.ready = false
    this.#machine.roleChanged(this.status())
  }
}
