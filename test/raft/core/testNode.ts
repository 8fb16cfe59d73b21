import {
  type Configuration,
  type Effect,
  type EntrySummary,
  type Event,
  type Fault,
  type HardStateFacts,
  type Limits,
  type Member,
  type Message,
  type NodeId,
  Raft,
  type RaftCoreOptions,
  RepairAnswer,
  type SnapshotFacts
} from '../../../src/raft/core/index.ts'
import type { Book, TestEntry } from './book.ts'

type SaveHardState = Extract<Effect, { kind: 'saveHardState' }>

type Write =
  | { readonly seq: number; readonly kind: 'append'; readonly entries: readonly TestEntry[] }
  | {
      readonly seq: number
      readonly kind: 'cut'
      readonly fromIndex: number
      readonly forgets: boolean
      /** What of it is bad, and is so still when the process dies before this. */
      readonly bad: readonly number[]
    }
  | { readonly seq: number; readonly kind: 'rewrite'; readonly entry: TestEntry }

/** What a manifest of this model names: the log up to its entry, and where that log starts. */
export interface TestSnapshot {
  readonly facts: SnapshotFacts
  /** In which it was offered. */
  readonly term: number
  readonly startIndex: number
  readonly entries: readonly TestEntry[]
  readonly configuration: Configuration
}

export interface NodeSettings {
  readonly flush: 'sync' | 'async'
  readonly preferredLeaderId: NodeId | null
  readonly segmentBytes: number
  readonly limits: Partial<Limits>
  readonly forceRecoverWithout: readonly NodeId[]
}

export const defaultSettings: NodeSettings = {
  flush: 'sync',
  preferredLeaderId: null,
  segmentBytes: 1 << 30,
  limits: {},
  forceRecoverWithout: []
}

/** What the surroundings do for a node. */
export interface World {
  readonly book: Book
  /** Everything that was ever offered, by its id. */
  readonly snapshots: Map<string, TestSnapshot>
  transmit(from: NodeId, to: NodeId, message: Message, entries: readonly TestEntry[]): void
  /** Effects that are neither storage nor messages. */
  note(node: TestNode, effect: Effect): void
  noteEvent(node: TestNode, event: Event): void
  /** How many of these have this entry where an acknowledgement of theirs would count from. */
  countDurable(entry: TestEntry, voters: readonly Member[]): number
}

/**
 * One core with a model of its disk. A write is issued, then written (page cache), then synced; SYNC_FLUSH reports it
 * when synced, ASYNC_FLUSH when written. `kill -9` keeps what is written, a power loss what is synced.
 */
export class TestNode {
  readonly id: NodeId
  readonly world: World
  settings: NodeSettings
  peers: readonly NodeId[]
  core: Raft | null = null
  /** Why it ended by itself. */
  ended = ''
  uid: string
  incarnation = 0

  hard: HardStateFacts = { term: 0, vote: null, founders: null, clusterId: '' }
  saves: SaveHardState[] = []
  /** As the process sees it. */
  log: TestEntry[] = []
  written: TestEntry[] = []
  synced: TestEntry[] = []
  writes: Write[] = []
  committed = 0
  applied = 0
  /** Commit that the persisted state machine knows of. */
  savedCommit = 0
  recoverNext: boolean = false
  /** ASYNC: what it had acknowledged and lost; such a node does not vote until it has it back (R-D6). */
  lost: readonly TestEntry[] = []
  /** What former disks had durable; what they acknowledged was true when it was said. */
  readonly graves = new Map<string, readonly TestEntry[]>()
  /** Configuration entries whose write was begun: they have a file of their own, synced before. */
  taken: TestEntry[] = []
  /** Entries whose bytes on this disk are bad. */
  readonly bad = new Set<number>()
  /** Of the bad ones, those of which nothing is known, their index units are gone too. Each run of them is named at its end by what follows. */
  readonly headless = new Set<number>()
  /** Entries up to here are trimmed: they stay in the lists above for the checks, and nobody may read them. */
  startIndex = 0
  /** The state database is gone, and what made it is trimmed. */
  stateLost: boolean = false
  /** Peers for which a snapshot is to be made ready. */
  snapshotRequests: NodeId[] = []
  /** The copy under way. */
  copying: SnapshotFacts | null = null
  /** The core has ended: the copy takes the place of the log. */
  switching: SnapshotFacts | null = null
  /** Found while replies waited for the hard state: those may still speak of them as whole. */
  readonly #badSinceReply = new Set<number>()
  #backup: {
    hard: HardStateFacts
    written: readonly TestEntry[]
    taken: readonly TestEntry[]
    savedCommit: number
  } | null = null
  readRequests: Extract<Effect, { kind: 'readEntries' }>[] = []
  reads = new Map<number, number>()
  #stepEntries: readonly EntrySummary[] = []

  constructor(id: NodeId, peers: readonly NodeId[], settings: NodeSettings, world: World) {
    this.id = id
    this.uid = `uid-${id}`
    this.peers = peers
    this.settings = settings
    this.world = world
  }

  get up(): boolean {
    return this.core !== null
  }

  /** Whether it has an address for that node: by its file, or by the configuration. */
  knows(id: NodeId): boolean {
    const members = this.core?.configuration?.members ?? []
    return this.peers.includes(id) || members.some(member => member.id === id)
  }

  boot(seed: number): void {
    this.incarnation++
    const log = this.written
    // Who never took in a configuration never took in an entry.
    if (log.length === 0 && this.taken.length === 0) this.recoverNext = false
    this.copying = null
    // What was found after the start is synced before anything counts (R-D2).
    this.synced = [...log]
    this.log = [...log]
    const last = log[log.length - 1]
    // Every start finds what is bad on the disk, unless that was cut or lost.
    for (const index of [...this.bad]) if (index > log.length) this.bad.delete(index)
    for (const index of [...this.headless]) if (!this.bad.has(index)) this.headless.delete(index)
    const terms: { term: number; firstIndex: number }[] = []
    for (const entry of log.slice(this.startIndex)) {
      // What is not known is taken for the term before.
      const guessed = this.headless.has(entry.index) && terms.length > 0
      if (!guessed && terms[terms.length - 1]?.term !== entry.term)
        terms.push({ term: entry.term, firstIndex: entry.index })
    }
    const faults = [...this.bad]
      .sort((a, b) => a - b)
      .map((index): Fault => {
        const fault = this.faultOf(log[index - 1] as TestEntry)
        if (!this.headless.has(index)) return fault
        const named = !this.bad.has(index + 1) || !this.headless.has(index + 1)
        return { ...fault, term: 0, headerCrc: named ? fault.headerCrc : -1, positionBytes: -1 }
      })
    const options: RaftCoreOptions = {
      selfId: this.id,
      selfUid: this.uid,
      incarnation: this.incarnation,
      peers: this.peers.map(id => ({
        id,
        raftAddress: `${id}:40911`,
        brokerAddress: `${id}:10911`
      })),
      preferredLeaderId: this.settings.preferredLeaderId,
      segmentBytes: this.settings.segmentBytes,
      seed,
      newClusterId: `group-of-${this.id}`,
      configurationBodyBytes: (c: Configuration) => 40 * c.members.length,
      hardState: this.hard,
      log: {
        firstIndex: this.startIndex + 1,
        startTerm: log[this.startIndex - 1]?.term ?? 0,
        lastIndex: log.length,
        terms,
        nextPositionBytes: last === undefined ? 0 : last.positionBytes + last.sizeBytes,
        configurations: this.taken
          .filter(entry => log[entry.index - 1]?.headerCrc === entry.headerCrc)
          .map(entry => ({
            index: entry.index,
            configuration: entry.configuration as Configuration
          })),
        lostConfigurations: this.taken
          .filter(entry => log[entry.index - 1]?.headerCrc !== entry.headerCrc)
          .map(entry => entry.configuration as Configuration),
        faults
      },
      knownCommit: this.savedCommit,
      appliedIndex: this.stateLost ? 0 : Math.min(this.savedCommit, log.length),
      recovering: this.recoverNext,
      forceRecoverWithout: this.settings.forceRecoverWithout,
      limits: this.settings.limits
    }
    this.ended = ''
    this.core = new Raft(options)
    this.committed = this.core.commitIndex
    this.applied = this.stateLost ? 0 : Math.min(this.savedCommit, this.committed)
    this.step({ kind: 'start' })
  }

  step(event: Event): void {
    const core = this.core
    if (core === null) return
    this.world.noteEvent(this, event)
    this.#stepEntries = event.kind === 'receive' ? event.entries : []
    for (const effect of core.step(event)) {
      this.#carryOut(effect)
      this.world.note(this, effect)
    }
  }

  #carryOut(effect: Effect): void {
    switch (effect.kind) {
      case 'saveHardState':
        this.saves.push(effect)
        return
      case 'appendOwn': {
        const entry: TestEntry = {
          index: effect.index,
          term: effect.term,
          positionBytes: effect.positionBytes,
          sizeBytes: effect.sizeBytes,
          headerCrc: this.world.book.nextCrc(),
          kind: effect.entryKind,
          configuration: effect.configuration,
          prevCrc: this.log[effect.index - 2]?.headerCrc ?? 0
        }
        this.#store([entry], effect.writeSeq)
        return
      }
      case 'appendReceived': {
        const entries = this.#stepEntries.filter(
          entry => entry.index >= effect.firstIndex && entry.index <= effect.lastIndex
        ) as TestEntry[]
        this.#store(entries, effect.writeSeq)
        return
      }
      case 'cut': {
        if (effect.fromIndex <= this.committed)
          this.world.book.fail(`${this.id} cuts ${effect.fromIndex}, committed ${this.committed}`)
        // Only the way out of R-D6w cuts what a leader has: from its first fault on, before it writes.
        if (this.core?.role === 'leader' && !this.bad.has(effect.fromIndex))
          this.world.book.fail(`leader append-only: ${this.id} leads and cuts ${effect.fromIndex}`)
        this.log.length = effect.fromIndex - 1
        const bad = [...this.bad].filter(index => index >= effect.fromIndex)
        for (const index of bad) this.bad.delete(index)
        this.writes.push({
          seq: effect.writeSeq,
          kind: 'cut',
          fromIndex: effect.fromIndex,
          forgets: effect.forgets,
          bad
        })
        return
      }
      case 'rewrite': {
        const entry = this.#stepEntries.find(e => e.index === effect.index) as TestEntry
        if (this.log[effect.index - 1]?.headerCrc !== entry.headerCrc)
          this.world.book.fail(`${this.id} heals entry ${effect.index} with another one`)
        this.writes.push({ seq: effect.writeSeq, kind: 'rewrite', entry })
        return
      }
      case 'send':
        this.#send(effect.to, effect.message)
        return
      case 'readEntries':
        this.readRequests.push(effect)
        return
      case 'committed':
        this.#commit(effect.index)
        return
      case 'answerRepair': {
        const entry = this.log[effect.index - 1] as TestEntry
        const have = entry.headerCrc === effect.headerCrc && !this.bad.has(effect.index)
        const answer = have
          ? RepairAnswer.have
          : effect.asLeader
            ? RepairAnswer.leaders
            : RepairAnswer.none
        const { index, term, prevTerm } = effect
        const entries = answer === RepairAnswer.none ? [] : [entry]
        this.world.transmit(
          this.id,
          effect.to,
          { type: 'repairReply', index, answer, term, prevTerm },
          entries
        )
        return
      }
      case 'roleChanged':
        if (effect.role === 'leader') {
          if (this.hard.term !== effect.term || this.hard.vote !== this.id)
            this.world.book.fail(`${this.id} leads term ${effect.term} before its vote is durable`)
          this.world.book.leads(this.id, this.uid, effect.term, this.log)
        }
        return
      case 'offerSnapshot':
        if (!this.snapshotRequests.includes(effect.peer)) this.snapshotRequests.push(effect.peer)
        return
      case 'installSnapshot':
        this.copying = effect.snapshot
        return
      case 'dropSnapshot':
        this.copying = null
        return
      case 'switchLog':
        if (effect.snapshot.index <= this.committed && !this.stateLost)
          this.world.book.fail(
            `${this.id} changes over to snapshot ${effect.snapshot.snapshotId}, committed ${this.committed}`
          )
        this.switching = effect.snapshot
        return
      case 'whole':
        this.taken = this.taken.filter(
          entry => this.log[entry.index - 1]?.headerCrc === entry.headerCrc
        )
        this.recoverNext = false
        this.lost = []
        return
      case 'fatal':
        this.ended = effect.reason
        return
      case 'refuseHello':
      case 'proposalRefused':
      case 'readReady':
      case 'readFailed':
      case 'transferEnded':
      case 'membershipEnded':
      case 'configurationChanged':
      case 'report':
        return
    }
  }

  #store(entries: readonly TestEntry[], seq: number): void {
    for (const entry of entries) {
      if (entry.index !== this.log.length + 1)
        this.world.book.fail(`${this.id} appends ${entry.index} behind ${this.log.length}`)
      if (entry.prevCrc !== (this.log[entry.index - 2]?.headerCrc ?? 0))
        this.world.book.fail(`${this.id}: the chain of CRCs breaks at ${entry.index}`)
      this.world.book.stored(entry)
      this.log.push(entry)
    }
    this.writes.push({ seq, kind: 'append', entries })
  }

  #commit(index: number): void {
    if (index < this.committed)
      this.world.book.fail(`${this.id}: commit falls from ${this.committed} to ${index}`)
    if (this.core?.role === 'leader') {
      const entry = this.log[index - 1] as TestEntry
      const voters = this.core.configuration?.members.filter(m => m.role === 'voter') ?? []
      const durable = this.world.countDurable(entry, voters)
      if (durable < (voters.length >> 1) + 1)
        this.world.book.fail(
          `commit rule: ${this.id} commits ${index}, durable on ${durable} of ${voters.length} only`
        )
      if (entry.term !== this.core.term)
        this.world.book.fail(`commit rule: ${this.id} commits ${index} of an older term`)
      const by = this.log.findLast(({ configuration }) => configuration !== null)
      if (by !== undefined && this.durableLog[by.index - 1]?.headerCrc !== by.headerCrc)
        this.world.book.fail(
          `commit rule: ${this.id} commits ${index} by configuration ${by.index}, which its disk does not have (R-M7)`
        )
    }
    this.world.book.commits(this.id, this.core?.term ?? 0, this.committed + 1, index, this.log)
    this.committed = index
  }

  /** The disk of which an acknowledgement may speak. */
  get durableLog(): readonly TestEntry[] {
    return this.settings.flush === 'sync' ? this.synced : this.written
  }

  #send(to: NodeId, message: Message): void {
    this.#checkPersistence(message)
    if (message.type === 'append' && message.count > 0 && message.prevIndex < this.startIndex)
      this.world.book.fail(`${this.id} sends the trimmed entry ${message.prevIndex + 1}`)
    const entries =
      message.type === 'append'
        ? this.log.slice(message.prevIndex, message.prevIndex + message.count)
        : []
    this.world.transmit(this.id, to, message, entries)
  }

  /** The table of what must be durable before what leaves, by this model's own disk. */
  #checkPersistence(message: Message): void {
    const { book } = this.world
    if (message.type === 'appendReply') {
      if (this.hard.term < message.term)
        book.fail(
          `persistence: ${this.id} answers in term ${message.term}, saved ${this.hard.term}`
        )
      for (let index = 1; index <= message.match; index++) {
        const entry = this.log[index - 1]
        if (entry === undefined || this.durableLog[index - 1]?.headerCrc !== entry.headerCrc)
          book.fail(
            `persistence: ${this.id} acknowledges ${message.match} without ${index} durable`
          )
        if (this.bad.has(index) && !this.#badSinceReply.has(index))
          book.fail(`${this.id} acknowledges the damaged entry ${index}`)
      }
    }
    if (message.type === 'voteReply' && !message.pre) {
      if (this.hard.term < message.term)
        book.fail(`persistence: ${this.id} answers a vote in unsaved term ${message.term}`)
      if (message.granted && this.hard.vote === null)
        book.fail(`persistence: ${this.id} grants an unsaved vote`)
    }
  }

  /** A read finds that this entry's bytes have changed. */
  findDamage(entry: TestEntry): void {
    this.bad.add(entry.index)
    if (this.saves.length > 0) this.#badSinceReply.add(entry.index)
    this.step({ kind: 'damaged', faults: [this.faultOf(entry)] })
  }

  /** As the log tells of it: where the entry before ends is known unless that has lost its header. */
  faultOf({ index, term, headerCrc, positionBytes }: TestEntry): Fault {
    const before = this.log[index - 2]
    const end = before === undefined ? 0 : before.positionBytes + before.sizeBytes
    const headless = this.bad.has(index - 1) && this.headless.has(index - 1)
    const previousEndBytes = headless ? -1 : end
    return { index, term, headerCrc, positionBytes, previousEndBytes }
  }

  /** The oldest hard state on its way becomes durable. */
  finishSave(): boolean {
    const save = this.saves.shift()
    if (save === undefined) return false
    this.#applySave(save)
    this.step({ kind: 'hardStateSaved', seq: save.seq })
    if (this.saves.length === 0) this.#badSinceReply.clear()
    return true
  }

  #applySave(save: SaveHardState): void {
    if (save.term < this.hard.term)
      this.world.book.fail(`${this.id}: saved term falls from ${this.hard.term} to ${save.term}`)
    this.hard = {
      term: save.term,
      vote: save.vote,
      founders: save.founders as readonly Member[] | null,
      clusterId: save.clusterId
    }
    this.world.book.voted(this.uid, save.term, save.vote)
  }

  /** The oldest write reaches the page cache, and with SYNC_FLUSH the disk. */
  finishWrite(): boolean {
    const write = this.writes.shift()
    if (write === undefined) return false
    this.#take(write)
    apply(this.written, write)
    if (write.kind === 'rewrite') this.bad.delete(write.entry.index)
    // A cut is always synced before anything is written behind it (R-L5).
    if (this.settings.flush === 'sync' || write.kind !== 'append') this.synced = [...this.written]
    this.step({ kind: 'storageDone', writeSeq: write.seq })
    return true
  }

  /** ASYNC_FLUSH: the periodic fdatasync. */
  sync(): void {
    this.synced = [...this.written]
  }

  finishApply(): boolean {
    if (this.core === null || this.stateLost || this.applied >= this.committed) return false
    this.applied = this.committed
    this.#persistState()
    this.step({ kind: 'applied', index: this.applied, lagBytes: 0 })
    return true
  }

  /** Derived state is persisted up to the own synced index only (R-D5): of the log as it is now, not of what is being cut. */
  #persistState(): void {
    let synced = this.savedCommit
    while (
      synced < this.applied &&
      !this.#isBeingCut(synced + 1) &&
      this.synced[synced]?.headerCrc === (this.log[synced] as TestEntry).headerCrc
    )
      synced++
    this.savedCommit = synced
  }

  /** What comes with time, whether anything happens or not: the log is synced, and the state persisted behind it. */
  checkpoint(): void {
    this.sync()
    if (this.core !== null && !this.stateLost) this.#persistState()
  }

  #isBeingCut(index: number): boolean {
    return this.writes.some(write => write.kind === 'cut' && write.fromIndex <= index)
  }

  finishRead(): boolean {
    const request = this.readRequests.shift()
    if (request === undefined) return false
    const sizesBytes: number[] = []
    let bytes = 0
    for (let index = request.firstIndex; index <= request.lastIndex; index++) {
      const size = this.log[index - 1]?.sizeBytes
      if (index <= this.startIndex || size === undefined || this.bad.has(index)) break
      if (sizesBytes.length > 0 && bytes + size > request.maxBytes) break
      bytes += size
      sizesBytes.push(size)
    }
    const { peer, requestId, firstIndex } = request
    this.step({ kind: 'entriesRead', peer, requestId, firstIndex, sizesBytes })
    return true
  }

  /** A snapshot for the next peer that needs one; as fresh as the persisted state. */
  finishSnapshot(): boolean {
    const peer = this.snapshotRequests.shift()
    if (peer === undefined || this.core === null) return false
    const last = this.log[this.savedCommit - 1]
    // The one in force then; a later one may yet be cut.
    const configuration =
      this.log.slice(0, this.savedCommit).findLast(entry => entry.configuration !== null)
        ?.configuration ?? null
    const whole = ![...this.bad].some(index => index <= this.savedCommit)
    if (
      last === undefined ||
      this.savedCommit < this.startIndex ||
      configuration === null ||
      !whole
    ) {
      this.step({ kind: 'snapshotFailed', peer, reason: 'nothing to give' })
      return true
    }
    const { index, term: indexTerm, headerCrc } = last
    const facts = { snapshotId: `${this.id}-${index}`, index, indexTerm, headerCrc }
    const { startIndex } = this
    const entries = this.log.slice(0, index)
    const { term } = this.core
    this.world.snapshots.set(facts.snapshotId, { facts, term, startIndex, entries, configuration })
    this.step({ kind: 'snapshotReady', peer, snapshot: facts })
    return true
  }

  /** The copy under way is whole. */
  finishCopy(): boolean {
    if (this.copying === null || this.core === null) return false
    const snapshot = this.copying
    this.copying = null
    this.step({ kind: 'snapshotCopied', snapshot })
    return true
  }

  /** The log is closed in order, what was asked for is on the disk, and the hard state names the copy; then all is opened again. */
  finishSwitch(seed: number): boolean {
    const facts = this.switching
    if (facts === null) return false
    this.switching = null
    for (const write of this.writes.splice(0)) apply(this.written, write)
    for (const save of this.saves) this.#applySave(save)
    const snapshot = this.world.snapshots.get(facts.snapshotId) as TestSnapshot
    const { index } = facts
    const isThere = index >= this.startIndex
    const kept = isThere && this.written[index - 1]?.headerCrc === facts.headerCrc
    if (!kept && index < this.committed)
      this.world.book.fail(
        `${this.id} changes over to ${facts.snapshotId} and loses what is committed`
      )
    this.written = [...snapshot.entries, ...(kept ? this.written.slice(index) : [])]
    this.synced = [...this.written]
    for (const at of [...this.bad]) if (at <= index) this.bad.delete(at)
    this.headless.clear()
    this.startIndex = snapshot.startIndex
    this.savedCommit = index
    this.stateLost = false
    this.taken = [
      ...snapshot.entries.filter(entry => entry.configuration !== null),
      ...(kept ? this.taken.filter(entry => entry.index > index) : [])
    ]
    const { clusterId, members } = snapshot.configuration
    this.hard = { ...this.hard, clusterId, founders: this.hard.founders ?? members }
    this.#gone()
    this.boot(seed)
    return true
  }

  /** Entries below `firstIndex` go, as far as the persisted state does not need them. */
  trim(firstIndex: number): boolean {
    const first = Math.min(firstIndex, this.savedCommit + 1)
    if (this.core === null || first <= this.startIndex + 1) return false
    if (first - 1 > this.applied || first > this.log.length) return false
    this.startIndex = first - 1
    for (const index of [...this.bad]) if (index < first) this.bad.delete(index)
    this.step({ kind: 'trimmed', firstIndex: first })
    return true
  }

  /** `kill -9`: writes and saves under way may have reached the page cache, in order. */
  kill(writesKept: number, savesKept: number): void {
    for (const write of this.writes.splice(0, writesKept)) {
      this.#take(write)
      apply(this.written, write)
    }
    for (const save of this.saves.slice(0, savesKept)) this.#applySave(save)
    this.#gone()
  }

  /**
   * Power loss: what is not synced goes, except a part of the write under way: `entriesKept` of its entries. With SYNC
   * a record that is left torn makes the next start recovering, with ASYNC every such start is (R-D6).
   */
  losePower(entriesKept: number, savesKept: number): void {
    const kept = [...this.synced]
    // The configurations of a write are synced beside the log before it begins (R-M3).
    const torn = this.writes[0]
    if (this.settings.flush === 'sync' && torn?.kind === 'append' && entriesKept > 0)
      this.#take(torn)
    const unsynced =
      this.settings.flush === 'sync'
        ? this.writes[0]?.kind === 'append'
          ? this.writes[0].entries
          : []
        : this.written.slice(kept.length)
    kept.push(...unsynced.slice(0, entriesKept))
    if (this.settings.flush === 'async') this.lost = this.written
    this.written = kept
    this.synced = [...kept]
    for (const save of this.saves.slice(0, savesKept)) this.#applySave(save)
    if (this.settings.flush === 'async' || entriesKept < unsynced.length) this.recoverNext = true
    this.#gone()
  }

  #take(write: Write): void {
    if (write.kind === 'append')
      this.taken.push(...write.entries.filter(entry => entry.configuration !== null))
    else if (write.kind === 'cut' && write.forgets) {
      this.recoverNext = true
      this.lost = [...this.written]
    } else if (write.kind === 'cut')
      this.taken = this.taken.filter(entry => entry.index < write.fromIndex)
  }

  #gone(): void {
    this.core = null
    for (const write of this.writes)
      if (write.kind === 'cut') for (const index of write.bad) this.bad.add(index)
    this.writes = []
    this.saves = []
    this.readRequests = []
    this.snapshotRequests = []
    this.copying = null
    this.switching = null
    this.#badSinceReply.clear()
    this.reads.clear()
  }

  /** Of a node that is down. */
  backup(): void {
    const { hard, written, taken, savedCommit } = this
    this.#backup = { hard, written: [...written], taken: [...taken], savedCommit }
  }

  /** An older copy of its disk takes the disk's place, and is known for one (R-D7). */
  putBack(): void {
    if (this.#backup === null) throw new Error(`${this.id} has no backup`)
    const { hard, written, taken, savedCommit } = this.#backup
    this.graves.set(this.uid, [...this.durableLog])
    this.lost = this.written
    this.hard = hard
    this.written = [...written]
    this.synced = [...written]
    this.taken = [...taken]
    this.savedCommit = savedCommit
    this.recoverNext = true
  }

  /** While it is down: what it made of the log is gone, and is made again as far as the log goes back. */
  loseState(): void {
    this.stateLost = this.startIndex > 0
    if (!this.stateLost) this.savedCommit = 0
  }

  /** An empty disk under the same id. What it had acknowledged counted, and is gone. */
  wipe(): void {
    this.graves.set(this.uid, [...this.durableLog])
    this.uid = `${this.uid}'`
    this.incarnation = 0
    this.hard = { term: 0, vote: null, founders: null, clusterId: '' }
    this.log = []
    this.written = []
    this.synced = []
    this.startIndex = 0
    this.savedCommit = 0
    this.stateLost = false
    this.recoverNext = false
    this.lost = []
    this.taken = []
    this.bad.clear()
  }
}

function apply(log: TestEntry[], write: Write): void {
  if (write.kind === 'append') log.push(...write.entries)
  else if (write.kind === 'cut') log.length = Math.min(log.length, write.fromIndex - 1)
}
