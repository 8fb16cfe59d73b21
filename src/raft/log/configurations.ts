import type { Logger } from '../../platform/index.ts'
import type { ConfigurationFile, StoredConfiguration } from './configurationFile.ts'
import { ENTRY_HEADER_BYTES, type Entry, EntryKind } from './entry.ts'
import { UnusableLogError } from './errors.ts'

const READ_BYTES = 4 * 1024 * 1024

export interface KnownConfigurations {
  /** Of entries that are in the log, damaged or not, and the newest one from before its start. */
  readonly inLog: readonly StoredConfiguration[]
  /** Of entries that were in it and are not any more. */
  readonly lost: readonly StoredConfiguration[]
}

interface Source {
  readonly firstIndex: number
  readonly lastIndex: number
  /** null: a fault of unknown term. */
  termAt(index: number): number | null
  /** Empty beyond the end; rejects at a damaged entry. */
  readEntries(fromIndex: number, maxBytes: number): Promise<Entry[]>
}

export function storedConfiguration(entry: Entry): StoredConfiguration {
  const { index, term, bytes } = entry
  return { index, term, body: Buffer.from(bytes.subarray(ENTRY_HEADER_BYTES)) }
}

/** What a start knows of the group's members: from the file, or when that is gone by reading the log. */
export async function restoreConfigurations(
  file: ConfigurationFile,
  log: Source,
  fresh: boolean,
  logger: Logger
): Promise<KnownConfigurations> {
  if (file.found !== 'items' && !fresh) {
    const entries = await searchLog(log)
    if (entries.length === 0 && log.firstIndex > 1 && file.found === 'damage')
      throw new UnusableLogError(
        'the file of the members is damaged in both of its slots and the log does not name them: move the whole directory away, the group takes the node back as one with an empty disk'
      )
    if (file.found === 'damage')
      logger.warn('The file of the members was damaged; it was made anew from the log')
    // A file that was never written to says that no entry ever was (R-D6).
    if (file.found === 'damage' || entries.length > 0) {
      file.replace(entries)
      await file.save()
    }
  }
  const { firstIndex, lastIndex } = log
  const isThere = ({ index, term }: StoredConfiguration): boolean => {
    if (index > lastIndex) return false
    if (index < firstIndex || term === 0) return true
    const own = log.termAt(index)
    return own === null || own === term
  }
  const known = file.items.filter(isThere)
  const base = known.findLastIndex(({ index }) => index < firstIndex)
  const inLog = base > 0 ? known.slice(base) : known
  return { inLog, lost: file.items.filter(item => !isThere(item)) }
}

async function searchLog(log: Source): Promise<StoredConfiguration[]> {
  const found: StoredConfiguration[] = []
  let index = log.firstIndex
  while (index <= log.lastIndex) {
    let entries: Entry[]
    try {
      entries = await log.readEntries(index, READ_BYTES)
    } catch {
      // Damaged: it comes back from a peer, with its configuration if it is one.
      index += 1
      continue
    }
    if (entries.length === 0) break
    for (const entry of entries)
      if (entry.kind === EntryKind.configuration) found.push(storedConfiguration(entry))
    index += entries.length
  }
  return found
}
