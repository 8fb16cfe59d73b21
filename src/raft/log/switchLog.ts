import type { Clock, Disk } from '../../platform/index.ts'
import { ConfigurationFile } from './configurationFile.ts'
import { COPY_NAME, readCopiedManifest, removeCopy, STATE_NAME } from './copy.ts'
import { HardStateFile, type StoredState } from './hardState.ts'
import { IndexFile, UNIT_BYTES } from './indexFile.ts'
import type { Manifest } from './manifest.ts'
import { fileName, joinPath } from './names.ts'

/**
 * How a whole copy takes the place of the log (R-S). The old log counts until a hard state names the copy; from then on the
 * copy does, and every start carries on with what is left to do until that is done:
 *
 *    copy/ whole and synced → hard state: `install`, log start, commit, watermark      (switchToCopy, the log is closed)
 *      → derived state loaded from copy/state                                          (by the state machine, before openLog)
 *      → copy/data and copy/index take the places of data and index                    (putInPlace, by openLog)
 *      → hard state without `install` → copy/ removed                                  (openLog)
 */

const CHUNK_BYTES = 1024 * 1024
const UNITS_A_CHUNK = CHUNK_BYTES / UNIT_BYTES

export interface SwitchOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly directory: string
  readonly unitsPerIndexFile: number
  /** The manifest's configuration as an entry's body. */
  readonly configurationBody: Buffer
}

/** What the closed log has behind the snapshot's entry, which it may have acknowledged. */
export interface OldTail {
  readonly lastIndex: number
  readonly endPosition: number
}

/**
 * The log must be closed, orderly. When this resolves the copy counts, and the log may only be opened again. `mayLose`: what
 * stands behind the snapshot's entry goes, and may have been acknowledged; the node recovers first (R-D6).
 */
export async function switchToCopy(
  options: SwitchOptions,
  manifest: Manifest,
  tail: OldTail | null,
  mayLose = false
): Promise<void> {
  const { disk, clock, directory } = options
  if (tail !== null) await keepTail(options, manifest, tail)
  await takeConfiguration(options, manifest)
  const file = await HardStateFile.open(disk, clock, directory)
  try {
    const state = file.state as StoredState
    const { clusterId, members } = manifest.configuration
    await file.update({
      install: manifest.snapshotId,
      start: manifest.start,
      commit: Math.max(manifest.index, Math.min(state.commit, tail?.lastIndex ?? 0)),
      watermark: tail?.lastIndex ?? manifest.index,
      clean: false,
      ...(mayLose ? { recovering: true, bootId: '' } : {}),
      clusterId,
      founders: members.map(({ id, uid }) => ({ id, uid }))
    })
  } finally {
    await file.close()
  }
}

/** Beside what is known: until the hard state names the copy, the old log counts. */
async function takeConfiguration(options: SwitchOptions, manifest: Manifest): Promise<void> {
  const file = await ConfigurationFile.open(options.disk, options.directory)
  try {
    const index = manifest.configurationIndex
    const others = file.items.filter(item => item.index !== index)
    const item = { index, term: 0, body: options.configurationBody }
    file.replace([...others, item].sort((a, b) => a.index - b.index))
    await file.save()
  } finally {
    await file.close()
  }
}

/** Positions are the same in every log, so what follows the entry is taken over byte by byte, units too. */
async function keepTail(options: SwitchOptions, manifest: Manifest, tail: OldTail): Promise<void> {
  const { disk, directory } = options
  const { segmentBytes } = manifest
  const data = joinPath(directory, 'data')
  const copied = joinPath(joinPath(directory, COPY_NAME), 'data')
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  let position = manifest.endPosition
  while (position < tail.endPosition) {
    const first = position - (position % segmentBytes)
    const end = Math.min(first + segmentBytes, tail.endPosition)
    const from = await disk.open(joinPath(data, fileName(first)))
    const to = await disk.open(joinPath(copied, fileName(first)), { create: true })
    try {
      while (position < end) {
        const wanted = Math.min(chunk.length, end - position)
        const got = await from.read(chunk, 0, wanted, position - first)
        if (got === 0) break
        await to.write([chunk.subarray(0, got)], position - first)
        position += got
      }
      await to.datasync()
    } finally {
      await from.close()
      await to.close()
    }
    position = end
  }
  await disk.syncDirectory(copied)
  const old = indexIn(options, directory)
  const index = indexIn(options, joinPath(directory, COPY_NAME))
  try {
    for (let at = manifest.index + 1; at <= tail.lastIndex; at += UNITS_A_CHUNK) {
      const count = Math.min(UNITS_A_CHUNK, tail.lastIndex - at + 1)
      await index.writeRaw(at, await old.readRaw(at, count))
    }
    await index.sync()
    await disk.syncDirectory(joinPath(joinPath(directory, COPY_NAME), 'index'))
  } finally {
    await old.close()
    await index.close()
  }
}

function indexIn({ disk, clock, unitsPerIndexFile }: SwitchOptions, directory: string): IndexFile {
  const unitsPerFile = unitsPerIndexFile
  return new IndexFile(
    { disk, clock, directory: joinPath(directory, 'index'), unitsPerFile, delayMs: 0 },
    0
  )
}

/** The copy's files become the log's. May be repeated from any point. */
export async function putInPlace(disk: Disk, directory: string): Promise<void> {
  const copy = joinPath(directory, COPY_NAME)
  for (const name of ['data', 'index']) {
    const from = joinPath(copy, name)
    if (!(await disk.exists(from))) continue
    await disk.remove(joinPath(directory, name))
    await disk.rename(from, joinPath(directory, name))
    await disk.syncDirectory(directory)
    await disk.syncDirectory(copy)
  }
}

/** What a start finds of a copy that counts for nothing: gone, unless it can still be gone on with. */
export async function removeLeftCopy(disk: Disk, directory: string, commit: number): Promise<void> {
  const path = joinPath(directory, COPY_NAME)
  if (!(await disk.exists(path))) return
  const manifest = await readCopiedManifest(disk, directory)
  if (manifest === null || manifest.index <= commit) await removeCopy(disk, directory)
}

/** A change to a snapshot that was decided and may not be finished: its derived state is to be loaded before the log is opened. */
export interface PendingInstall {
  readonly snapshotId: string
  /** The state's last entry, and the end of it in the log. */
  readonly index: number
  readonly endPosition: number
  /** First entry that the log will hold. */
  readonly firstIndex: number
  readonly statePath: string
}

/** What the hard state below `directory` says of it; null: nothing is pending. */
export async function pendingInstall(
  disk: Disk,
  clock: Clock,
  directory: string
): Promise<PendingInstall | null> {
  if (!(await disk.exists(joinPath(directory, 'hardstate')))) return null
  let install: string
  try {
    const file = await HardStateFile.open(disk, clock, directory)
    install = file.state?.install ?? ''
    await file.close()
  } catch {
    return null // openLog says what is wrong with it
  }
  if (install === '') return null
  const manifest = await readCopiedManifest(disk, directory)
  if (manifest?.snapshotId !== install) {
    throw new Error(
      `${directory} was about to change over to snapshot ${install}, and the copy is not readable any more: move the directory away and let the node join as a new one`
    )
  }
  const { index, endPosition, start } = manifest
  const statePath = joinPath(joinPath(directory, COPY_NAME), STATE_NAME)
  return { snapshotId: install, index, endPosition, firstIndex: start.index + 1, statePath }
}
