import type { Blocks, Clock, Disk, Logger, Random } from '../../platform/index.ts'
import type { KnownConfigurations } from './configurations.ts'
import type { Entry } from './entry.ts'
import type { Shipping } from './shipping.ts'

export type FlushMode = 'sync' | 'async'

/** A member of the group's first configuration (R-D7). */
export interface Founder {
  readonly id: string
  /** 32 hexadecimal digits, drawn when the member's directory was made. */
  readonly uid: string
}

/** The last entry that is no longer in the log; all 0 while nothing was trimmed. */
export interface LogStart {
  readonly index: number
  readonly term: number
  readonly headerCrc: number
  /** Where the first entry of the log begins: a segment's first byte. */
  readonly position: number
}

/** What a node must not forget (raft.md 4.2). Lies in one file, in two slots that are written in turn. */
export interface HardState {
  readonly term: number
  /** Id of the member voted for in `term`; '' for nobody. */
  readonly vote: string
  /** Number of starts of this directory; `openLog` counts it up and saves it. */
  readonly incarnation: number
  /** Of this directory, 32 hexadecimal digits; drawn by the first `openLog`. */
  readonly uid: string
  /** '' until the configuration entry that holds it is committed. */
  readonly clusterId: string
  /** Empty until the first start of the group is done. */
  readonly founders: readonly Founder[]
  /** The boot in which the log was last known whole; '' = treat the next start as one after a power loss. */
  readonly bootId: string
  /** Set by an orderly stop only, cleared by `openLog`. */
  readonly clean: boolean
  /** The node neither campaigns nor grants votes until `markWhole` (R-D6). */
  readonly recovering: boolean
  /** Index up to which the log was certainly fdatasynced. */
  readonly watermark: number
  /** 'async' as soon as anything above the watermark was written under it. */
  readonly weakestMode: FlushMode
  readonly start: LogStart
  /** Highest commit index known when this was saved; lags behind. */
  readonly commit: number
  /** Identity of the first file of the hard state when this was saved (`Disk.identity`); '': not known. */
  readonly whereabouts: string
  /** Id of the snapshot whose copy takes the place of the log (switchLog.ts); '' for none. */
  readonly install: string
}

/** What the core and the node may change; the rest belongs to the log. Take `term` and `vote` together. */
export type HardStatePatch = Partial<Pick<HardState, 'term' | 'vote' | 'clusterId' | 'founders'>>

/** An entry that should be in the log and is not readable (raft.md 4.9). */
export interface Fault {
  readonly index: number
  readonly position: number
  /** null: not known, only the room that it takes at most. */
  readonly sizeBytes: number | null
  /** null: unknown; the node cannot tell how its log compares while this is the last entry it would claim. */
  readonly term: number | null
  /** What a peer's entry must have to be this one; null: unknown until a neighbour is repaired. */
  readonly headerCrc: number | null
  /** End of the entry before it; left out: not known. */
  readonly previousEnd?: number
}

/** Where in the log each term begins; sorted, one item a term. */
export interface TermStart {
  readonly term: number
  readonly firstIndex: number
}

/** What `openLog` found. */
export interface Recovery {
  /** The directory was empty. */
  readonly fresh: boolean
  /** The stored state comes from another boot of the machine, and the stop was not orderly. */
  readonly powerLoss: boolean
  /** Why the node must neither vote nor campaign until it has caught up (R-D6); null: it may. */
  readonly recovering: string | null
  /** Terms of all entries, those of faults as far as they are known. */
  readonly terms: readonly TermStart[]
  readonly faults: readonly Fault[]
  /** Index of the first entry that was cut as torn, 0 if nothing was. */
  readonly cutFrom: number
  /** Commit index to start with: the recorded one, not beyond the last entry. */
  readonly commit: number
  readonly scannedBytes: number
  readonly durationMs: number
}

/** One finished write. */
export interface WriteDone {
  /** Of the last `append` that is covered; earlier ones are covered too. */
  readonly writeSeq: number
  /** Of the last entry written. */
  readonly term: number
  readonly lastIndex: number
}

/** All calls are made from the log's own turns, never from inside `append` or `cut`. */
export interface LogListener {
  /**
   * Durable under the flush mode: may be acknowledged and counted (raft.md 4.4). For sync it is on the
   * disk, for async in the page cache. Entries of one `cut` come with its writeSeq and the index before it.
   */
  written(done: WriteDone): void
  /** On the disk up to `index`, whatever the mode (R-D5). May fall after a cut. */
  synced(index: number): void
  /** R-D8: the log takes nothing any more and is to be closed. Called once. */
  failed(operation: 'write' | 'sync' | 'hardState' | 'cut', error: Error): void
  /** 4.11: a write found no space and is tried again until there is some (then false). */
  diskFull(full: boolean): void
  /** A read found a damaged entry; it stands in `faults` now. */
  damaged(fault: Fault): void
}

export interface SegmentInfo {
  readonly firstPosition: number
  /** Bytes used: the whole segment when sealed. */
  readonly bytes: number
  readonly firstIndex: number
  /** Time of the last entry in it; 0 if that is not known. */
  readonly lastTimeMs: number
  readonly sealed: boolean
}

/** What a look at the disk found. */
export interface VerifiedRange {
  readonly nextIndex: number
  readonly bytes: number
  readonly damagedEntries: number
  readonly mendedUnits: number
}

export interface LatencySummary {
  readonly count: number
  readonly totalMs: number
  readonly maxMs: number
  /** Counts of operations that took less than 0.25, 0.5, 1, 2, 4, … ms; the last item is the rest. */
  readonly buckets: readonly number[]
}

export interface LogStatistics {
  readonly writes: LatencySummary
  readonly syncs: LatencySummary
  readonly hardStateSaves: LatencySummary
  readonly bytesWritten: number
  readonly entriesWritten: number
  readonly cachedBytes: number
  readonly cachedEntries: number
  readonly queuedBytes: number
}

/** Background work that keeps syncs cheap (R-D10, R-D11). */
export interface PrepareOptions {
  /** Zeros written ahead of the log's end, and into the spare segment; at most a segment. */
  readonly aheadBytes: number
  /** At most. A log that grows by more than a sixteenth of it gets no zeros ahead, and the spare slowly. */
  readonly bytesPerSecond: number
  /** Whether to keep a spare segment at hand. */
  readonly spare: boolean
  /** Zeros go as far as the segment does, into the spare too, under load as well; each megabyte is synced by itself. */
  readonly warm: boolean
}

export interface LogOptions {
  readonly disk: Disk
  readonly clock: Clock
  /** Draws the uid of a fresh directory. */
  readonly random: Random
  readonly logger: Logger
  /** Holds `data`, `index` and `hardstate`; made when missing. */
  readonly directory: string
  /** Size of a segment, the same on all replicas and for the life of the log. At least 4096. */
  readonly segmentBytes: number
  readonly flushMode: FlushMode
  /** async: time between two fdatasyncs. */
  readonly flushIntervalMs: number
  /** Bytes of the newest entries kept in memory. */
  readonly tailCacheBytes: number
  /** Bytes of older entries kept after reads; default 16 MiB. */
  readonly readCacheBytes?: number
  /** What the tail cache holds its entries' memory in; default: none is used again. */
  readonly blocks?: Blocks
  /** Of the running boot of the machine; '' = not known, every unclean start counts as one after a power loss. */
  readonly bootId: string
  /** Default: 64 MiB ahead at 128 MiB/s, with a spare. */
  readonly prepare?: Partial<PrepareOptions>
  /** Units wait this long to be written together; default 10. */
  readonly indexDelayMs?: number
  /** Least time between two saves of the watermark; default 100 (R-D3). */
  readonly watermarkIntervalMs?: number
  /** Size of an index file in units of 32 bytes; default 131 072. */
  readonly unitsPerIndexFile?: number
}

/** How long something is, by its first bytes. */
export type SizeOf = (head: Buffer) => number

/** The log on its disk. One writer; everything in one event loop. */
export interface RaftLog {
  readonly recovery: Recovery
  readonly hardState: HardState
  /** Configuration entries as the start found them; later ones are told by nobody but the entries themselves. */
  readonly known: KnownConfigurations
  /** Damaged entries by index, those of `recovery` and those that reads found since. */
  readonly faults: ReadonlyMap<number, Fault>

  /** Before the first entry there is index 0, term 0, position `start.position`, crc 0. They change inside `append` and `cut`. */
  readonly lastIndex: number
  readonly lastTerm: number
  readonly lastHeaderCrc: number
  readonly lastTimeMs: number
  /** End of the last entry; the next one begins at `positionAfter(endPosition, size, segmentBytes)`. */
  readonly endPosition: number
  /** Index of the first entry that the log holds (or would hold). */
  readonly firstIndex: number
  readonly startPosition: number
  /** End of the last entry given to `commitTo`. */
  readonly committedPosition: number
  /** Durable under the flush mode. */
  readonly writtenIndex: number
  /** fdatasynced (R-D5). */
  readonly syncedIndex: number

  /** Must be called once, before anything else. */
  listen(listener: LogListener): void

  /** Resolves when it is on the disk. Saves that wait are merged into one write. Rejects after a failure (R-D8). */
  saveHardState(patch: HardStatePatch): Promise<void>
  /** The node is neither recovering nor damaged any more: saves the boot id. Rejects while there are faults. */
  markWhole(): Promise<void>

  /**
   * Takes entries that continue the log (index, position, chain are checked: a mistake throws). They are in the tail
   * cache at once, and written together with whatever waits as soon as the write before has returned.
   */
  append(entries: readonly Entry[], writeSeq: number): void
  /**
   * Drops the entries from `fromIndex` on, at once in memory, on disk in the order of the queue (R-L5). `forgets`: some may have
   * been acknowledged, so before they go the hard state says that the node recovers (R-D6), and their configurations are
   * remembered. Throws at or below the commit index or what was released.
   */
  cut(fromIndex: number, writeSeq: number, forgets?: boolean): void
  /** Bytes taken by `append` whose write has not returned. */
  readonly queuedBytes: number

  /** Highest known commit index; saved now and then, and the bound of `committedPosition` and of `cut`. */
  commitTo(index: number): void
  /** Entries up to `index` were applied and may leave the tail cache. */
  release(index: number): void

  /** From the tail cache, or null. Its bytes hold until the present call returns, unless their block is held. */
  entryAt(index: number): Entry | null
  /**
   * Entries from `fromIndex` on, as many as fit into `maxBytes` (at least one); null: the first one is not in memory. Their bytes hold as
   * those of `entryAt`.
   */
  recentEntries(fromIndex: number, maxBytes: number): Entry[] | null
  /**
   * The same from memory or disk, CRCs verified. Empty beyond the last entry; ends before a fault. Rejects with
   * DamagedEntryError when `fromIndex` itself is damaged, TrimmedError below the first entry.
   */
  readEntries(fromIndex: number, maxBytes: number): Promise<Entry[]>
  /** 0 for 0 and for indexes that the log does not hold; the start's term at its index; null for a fault of unknown term. */
  termAt(index: number): number | null
  /** null: not in the log or unknown. For Repair answers and comparisons with faults. */
  headerCrcAt(index: number): Promise<number | null>

  /** See LogReader. */
  peek(position: number, lengthBytes: number, hold?: boolean): Buffer | null
  /** The same from memory or disk; the whole entry's CRC is verified. Rejects like `readEntries`. */
  read(position: number, lengthBytes: number, hold?: boolean): Promise<Buffer>
  /** See LogReader.readSized. */
  readSized(position: number, headBytes: number, sizeOf: SizeOf): Promise<Buffer>
  /** See LogReader. */
  patiently<T>(read: () => Promise<T>, patienceMs: number): Promise<T>

  /** Index of the entry that `position` lies in. Rejects like `readEntries`. */
  indexAt(position: number): Promise<number>
  /** See RaftNode.verify. Only what is written, and not the first entries of a log that is being trimmed. */
  verify(
    fromIndex: number,
    maxBytes: number,
    visit?: (entries: readonly Entry[]) => void
  ): Promise<VerifiedRange>

  /** Puts back a damaged entry in place, synced. Rejects with RepairError when the bytes are not that entry. */
  writeRepair(index: number, bytes: Buffer): Promise<void>

  /** Drops whole segments below `position`, where entry `index` begins; the new start is saved first. */
  trimPrefix(index: number, position: number): Promise<void>
  segments(): SegmentInfo[]
  /** For snapshots. */
  readonly shipping: Shipping
  statistics(): LogStatistics
  /** Age of the oldest write, sync or hard-state save that has not returned, in ms; 0 when idle (R-D9). */
  oldestOperationMs(): number

  /** Waits for what is queued. `orderly`: syncs, saves the watermark and the clean flag (not while recovering, damaged or failed). */
  close(options: { orderly: boolean }): Promise<void>
}
