/**
 * Makes a group of one out of what a single stopped node has (when most disks of its group are gone for good): all that is in
 * its log counts as committed, and a configuration of this node alone, under a new uid and a new cluster id, is its
 * last entry. Members of the old group are strangers from then on; new ones join with empty disks (R-D7).
 */
import type { Clock, Disk, Logger, Random } from '../../platform/index.ts'
import { HardStateFile } from '../log/hardState.ts'
import {
  ENTRY_HEADER_BYTES,
  EntryKind,
  openLog,
  positionAfter,
  type RaftLog,
  sealEntry,
  UnusableLogError
} from '../log/index.ts'
import { decodeConfiguration, encodeConfiguration } from '../wire/index.ts'

const ID_BYTES = 16

export interface NewGroupOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** As the node's. */
  readonly directory: string
  readonly bootId: string
  readonly selfId: string
  /** host:port of the group's own traffic. */
  readonly raftAddress: string
  /** The first entry that is given up, and all behind it; null: everything is kept. */
  readonly cutFrom: number | null
}

export interface NewGroup {
  readonly clusterId: string
  readonly uid: string
  /** Of the configuration entry, the last one. */
  readonly lastIndex: number
  readonly term: number
}

/** May be repeated after it was interrupted. Rejects with UnusableLogError when damaged entries would be left. */
export async function makeNewGroup(options: NewGroupOptions): Promise<NewGroup> {
  const { disk, clock, directory, random, cutFrom } = options
  const before = await HardStateFile.open(disk, clock, directory)
  const state = before.state
  if (state === null) {
    await before.close()
    throw new UnusableLogError(`${directory} has no hard state: the node never ran`)
  }
  // What is given up must not count as committed any more, or the log would refuse to be cut there.
  if (cutFrom !== null) {
    const commit = Math.min(state.commit, cutFrom - 1)
    await before.update({ commit, watermark: Math.min(state.watermark, cutFrom - 1) })
  }
  await before.close()
  const uid = random.bytes(ID_BYTES).toString('hex')
  const clusterId = random.bytes(ID_BYTES).toString('hex')
  const log = await openLog({
    disk,
    clock,
    random,
    logger: options.logger,
    directory,
    segmentBytes: state.segmentBytes,
    flushMode: 'sync',
    flushIntervalMs: 1000,
    tailCacheBytes: 16 * 1024 * 1024,
    bootId: options.bootId,
    prepare: { aheadBytes: 0, spare: false }
  })
  let made: NewGroup
  try {
    const writes = new Writes(log)
    if (cutFrom !== null && cutFrom <= log.lastIndex) await writes.cut(cutFrom)
    if (log.faults.size > 0) {
      const [first] = [...log.faults.keys()].sort((a, b) => a - b)
      throw new UnusableLogError(
        `entry ${first} of the log is damaged: give it up with all behind it`
      )
    }
    const term = Math.max(log.hardState.term, log.lastTerm) + 1
    made = await writeConfiguration(log, writes, {
      ...options,
      uid,
      clusterId,
      term,
      segmentBytes: state.segmentBytes
    })
  } finally {
    await log.close({ orderly: true })
  }
  const after = await HardStateFile.open(disk, clock, directory)
  try {
    await after.update({
      term: made.term,
      vote: '',
      uid,
      clusterId,
      founders: [{ id: options.selfId, uid }],
      bootId: options.bootId,
      clean: true,
      recovering: false,
      watermark: made.lastIndex,
      commit: made.lastIndex
    })
  } finally {
    await after.close()
  }
  return made
}

/** Waits for each write of the log. */
class Writes {
  readonly #log: RaftLog
  #seq = 0
  #waiting: { resolve(): void; reject(error: Error): void } | null = null

  constructor(log: RaftLog) {
    this.#log = log
    log.listen({
      written: ({ writeSeq }) => {
        if (writeSeq >= this.#seq) this.#waiting?.resolve()
      },
      synced: () => {},
      failed: (_operation, error) => this.#waiting?.reject(error),
      diskFull: full => {
        if (full) this.#waiting?.reject(new Error('the disk is full'))
      },
      damaged: () => {}
    })
  }

  cut(fromIndex: number): Promise<void> {
    return this.#done(seq => this.#log.cut(fromIndex, seq))
  }

  append(...entries: Parameters<RaftLog['append']>[0]): Promise<void> {
    return this.#done(seq => this.#log.append(entries, seq))
  }

  #done(work: (seq: number) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      this.#seq += 1
      work(this.#seq)
    })
  }
}

async function writeConfiguration(
  log: RaftLog,
  writes: Writes,
  group: NewGroupOptions & { uid: string; clusterId: string; term: number; segmentBytes: number }
): Promise<NewGroup> {
  const { uid, clusterId, term, selfId, raftAddress, segmentBytes } = group
  let version = 0
  for (const { body } of [...log.known.inLog, ...log.known.lost]) {
    version = Math.max(version, decodeConfiguration(body).version)
  }
  const self = {
    id: selfId,
    uid,
    role: 'voter',
    raftAddress,
    brokerAddress: '',
    priority: 0
  } as const
  const body = encodeConfiguration({ version: version + 1, clusterId, members: [self] })
  const bytes = Buffer.alloc(ENTRY_HEADER_BYTES + body.length)
  bytes.set(body, ENTRY_HEADER_BYTES)
  const index = log.lastIndex + 1
  const entry = sealEntry(bytes, {
    index,
    term,
    position: positionAfter(log.endPosition, bytes.length, segmentBytes),
    kind: EntryKind.configuration,
    flags: 0,
    count: 0,
    timeMs: log.lastTimeMs,
    prevCrc: log.lastHeaderCrc
  })
  await writes.append(entry)
  return { clusterId, uid, lastIndex: index, term }
}
