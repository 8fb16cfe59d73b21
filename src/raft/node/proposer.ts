import type { Clock } from '../../platform/index.ts'
import type { Configuration, ProposalRefusal } from '../core/index.ts'
import {
  ENTRY_HEADER_BYTES,
  type Entry,
  EntryKind,
  entryBytesMax,
  type RaftLog,
  sealEntry
} from '../log/index.ts'
import type { Proposal, ProposalSource } from '../types.ts'
import { encodeConfiguration } from '../wire/index.ts'
import type { EntryClock } from './entryClock.ts'

/** Taken from the source in one go; what is left waits for the write. */
const PULL_BYTES = 4 * 1024 * 1024

/** Where the core put the own entry. */
export interface OwnPlace {
  index: number
  term: number
  positionBytes: number
  entryKind: EntryKind
  token: number
  configuration: Configuration | null
}

/** What the driver tells the core. */
export interface Offer {
  entryKind: 1 | 2
  sizeBytes: number
  token: number
}

/**
 * Makes entries of the leader's proposals. They are pulled at the end of the turn while few writes are
 * in flight, else when one of them returns: load makes the batch (raft.md 4.5).
 */
export class Proposer {
  readonly #source: ProposalSource
  readonly #log: RaftLog
  readonly #clock: Clock
  readonly #entryClock: EntryClock
  readonly #sizeMax: number
  readonly #pullNow: () => void
  /** The source has something, as far as is known. */
  #woken = false
  #turnEndAsked = false
  #due = false
  #pulledBytes = 0
  /** Offered to the core, or refused for now; offered again first. */
  #held: Proposal | null = null
  /** The held one was refused for want of room and is offered like a command. */
  #fromReserve = false
  #token = 0
  #tokenOffered = 0
  proposed = 0

  constructor(
    source: ProposalSource,
    log: RaftLog,
    clock: Clock,
    entryClock: EntryClock,
    segmentBytes: number,
    pullNow: () => void
  ) {
    this.#source = source
    this.#log = log
    this.#clock = clock
    this.#entryClock = entryClock
    this.#sizeMax = entryBytesMax(segmentBytes)
    this.#pullNow = pullNow
  }

  /** A proposal waits. `idle`: few writes are in flight, so it leaves at the end of this turn. */
  wake(idle: boolean): void {
    this.#woken = true
    if (!idle || this.#turnEndAsked) return
    this.#turnEndAsked = true
    this.#clock.turnEnd(this.#turnEnded)
  }

  readonly #turnEnded = (): void => {
    this.#turnEndAsked = false
    this.resume()
    this.#pullNow()
  }

  /** A write returned, room was made, or this node may propose now: what waits is due. */
  resume(): void {
    if (!this.#woken && this.#held === null) return
    this.#due = true
    this.#pulledBytes = 0
  }

  /** Whether a refused proposal waits for room. */
  get holds(): boolean {
    return this.#held !== null
  }

  /** The next proposal to be offered to the core, or null: nothing is due. */
  next(): Offer | null {
    if (!this.#due) return null
    const proposal = this.#held ?? this.#source.take()
    if (proposal === null) {
      this.#due = false
      this.#woken = false
      return null
    }
    const sizeBytes = proposal.bytes.length
    if (sizeBytes > this.#sizeMax) {
      throw new Error(`a proposal of ${sizeBytes} bytes, the log takes ${this.#sizeMax}`)
    }
    this.#held = proposal
    this.#pulledBytes += sizeBytes
    if (this.#pulledBytes >= PULL_BYTES) this.#due = false
    this.#token += 1
    this.#tokenOffered = this.#token
    const entryKind = this.#fromReserve ? EntryKind.commands : proposal.kind
    return { entryKind, sizeBytes, token: this.#token }
  }

  /** The core did not take the offered one. */
  refused(token: number, reason: ProposalRefusal): void {
    const proposal = this.#held
    if (proposal === null || token !== this.#tokenOffered) return
    // New messages are refused by the store as soon as `diskRoom` falls. Those that it had accepted by then go the
    // way of commands, from the disk's reserve: they have their queue offsets, and commands would wait behind them.
    if (reason === 'diskFull' && !this.#fromReserve) this.#fromReserve = true
    else this.#due = false
  }

  /** Leadership ended: what was taken and not appended is lost, the source was told by the role change. */
  drop(): void {
    this.#held = null
    this.#fromReserve = false
    this.#due = false
  }

  /** Makes the entry that the core gave a place, the offered one or an own one of the core. */
  append(place: OwnPlace, writeSeq: number): Entry {
    const timeMs = this.#entryClock.next()
    if (place.token === 0) return this.#appendCoreEntry(place, timeMs, writeSeq)
    const proposal = this.#held
    if (proposal === null || place.token !== this.#tokenOffered) {
      throw new Error(`entry ${place.index} was placed, but its proposal is not there`)
    }
    this.#held = null
    this.#fromReserve = false
    this.proposed += 1
    proposal.seal(place.positionBytes + ENTRY_HEADER_BYTES, timeMs)
    const { bytes, kind, flags, count } = proposal
    const entry = this.#seal(bytes, place, kind, flags, count, timeMs)
    this.#log.append([entry], writeSeq)
    proposal.appended(place.index, place.term)
    return entry
  }

  #appendCoreEntry(place: OwnPlace, timeMs: number, writeSeq: number): Entry {
    const body =
      place.configuration === null ? new Uint8Array(0) : encodeConfiguration(place.configuration)
    const bytes = Buffer.allocUnsafeSlow(ENTRY_HEADER_BYTES + body.length)
    bytes.set(body, ENTRY_HEADER_BYTES)
    const entry = this.#seal(bytes, place, place.entryKind, 0, 0, timeMs)
    this.#log.append([entry], writeSeq)
    return entry
  }

  #seal(
    bytes: Buffer,
    place: OwnPlace,
    kind: EntryKind,
    flags: number,
    count: number,
    timeMs: number
  ): Entry {
    const { index, term, positionBytes: position } = place
    const prevCrc = this.#log.lastHeaderCrc
    return sealEntry(bytes, { index, term, position, kind, flags, count, timeMs, prevCrc })
  }
}
