import {
  AppendResult,
  type HelloFacts,
  type Member,
  type NodeId,
  type PeerStatus,
  type SnapshotFacts
} from './types.ts'

interface Frame {
  readonly lastIndex: number
  readonly bytes: number
}

/**
 * What the leader knows of one follower.
 * `probe`: its log is not known; one empty append asks, at most one unanswered. `replicate`: entries flow, `nextIndex`
 * runs ahead. `snapshot`: it needs entries that are trimmed; it is offered a snapshot and gets heartbeats besides.
 * Invariant: matchIndex < nextIndex.
 */
export class Progress {
  readonly id: NodeId
  readonly uid: string
  voter: boolean
  linked: boolean = false
  /** Of the peer's process behind the present link (R-R1). */
  incarnation = 0
  state: 'probe' | 'replicate' | 'snapshot' = 'probe'
  matchIndex = 0
  /** Of its last answer: falls when an entry is found damaged, where `matchIndex` stays. */
  lastMatch = 0
  nextIndex: number
  streamSeq = 0
  /** Replies to older appends belong to an earlier link or state and move nothing. */
  validFromSeq = 1
  probeUnanswered: boolean = false
  readonly #frames: Frame[] = []
  inFlightBytes = 0
  sinceSentTicks = 0
  sinceContactTicks = 0
  readSeqAcked = 0
  sentCommit = 0
  /** Of the reading under way; 0: none. */
  readRequestId = 0
  /** What it was offered; null: none is ready. */
  snapshot: SnapshotFacts | null = null
  /** Until the offer is made again, or asked for again; 0: it is being made ready. */
  offerTicks = 0
  /** Its state ends before its log begins. */
  lacksState: boolean = false
  /** How long it has taken appends without coming up to the start of the log. */
  stuckTicks = 0
  result: AppendResult = AppendResult.ok
  applied = 0
  freePermille = 1000
  diskOk: boolean = true
  /** Of a learner: heartbeats in a row at which it was fit and had caught up (R-M4). */
  caughtUpBeats = 0

  constructor(member: Member, nextIndex: number) {
    this.id = member.id
    this.uid = member.uid
    this.voter = member.role === 'voter'
    this.nextIndex = nextIndex
  }

  /** A new connection knows nothing of what the old one brought over (R-R1). */
  linkUp(hello: HelloFacts, nextIndex: number): void {
    this.linked = true
    this.incarnation = hello.incarnation
    this.matchIndex = 0
    this.result = AppendResult.ok
    this.lacksState = false
    this.becomeProbe(nextIndex)
  }

  linkDown(): void {
    this.linked = false
    this.becomeProbe(this.matchIndex + 1)
  }

  becomeProbe(nextIndex: number): void {
    this.state = 'probe'
    this.nextIndex = nextIndex
    this.#forgetFrames()
  }

  becomeReplicate(nextIndex: number): void {
    this.state = 'replicate'
    this.nextIndex = nextIndex
    this.#forgetFrames()
  }

  becomeSnapshot(firstIndex: number): void {
    this.state = 'snapshot'
    this.nextIndex = firstIndex
    this.snapshot = null
    this.offerTicks = 0
    this.stuckTicks = 0
    this.#forgetFrames()
  }

  #forgetFrames(): void {
    this.#frames.length = 0
    this.inFlightBytes = 0
    this.probeUnanswered = false
    this.readRequestId = 0
    this.validFromSeq = this.streamSeq + 1
  }

  get framesInFlight(): number {
    return this.#frames.length
  }

  sent(lastIndex: number, bytes: number): void {
    this.#frames.push({ lastIndex, bytes })
    this.inFlightBytes += bytes
    this.nextIndex = lastIndex + 1
  }

  /** The follower is done with what was sent up to `index`, so that it is not in flight any more. */
  settled(index: number): void {
    let freed = 0
    for (const frame of this.#frames) {
      if (frame.lastIndex > index) break
      this.inFlightBytes -= frame.bytes
      freed++
    }
    if (freed > 0) this.#frames.splice(0, freed)
  }

  /** The follower has everything up to `index` durable and whole. Returns whether that is more than was known. */
  acknowledged(index: number): boolean {
    this.settled(index)
    if (index <= this.matchIndex) return false
    this.matchIndex = index
    if (this.nextIndex <= index) this.nextIndex = index + 1
    return true
  }

  status(electionTicks: number): PeerStatus {
    return {
      id: this.id,
      uid: this.uid,
      voter: this.voter,
      state: this.linked ? this.state : 'down',
      matchIndex: this.matchIndex,
      nextIndex: this.nextIndex,
      inFlightBytes: this.inFlightBytes,
      active: this.sinceContactTicks < electionTicks,
      applied: this.applied,
      freePermille: this.freePermille,
      diskOk: this.diskOk,
      result: this.result
    }
  }
}
