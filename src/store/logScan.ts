/** Goes through the messages of a part of the log, for who builds derived data again. */
import { ENTRY_HEADER_BYTES, type Entry, EntryKind, type LogReader } from '../raft/index.ts'
import { FLAG_COMMANDS_TRAILER, trailerStart } from './commandCodec.ts'
import { StoredMessageView } from './storedMessageView.ts'

const READ_BYTES = 1024 * 1024

export interface ScanRange {
  /** Begins with the entry that this position lies in; below the log's start: with the first entry. */
  readonly fromPosition: number
  /** Messages at or behind it are left out. */
  readonly endPosition: number
}

export interface ScanVisitor {
  /** `message` is filled again for the next one; its properties are not scanned. */
  message(message: StoredMessageView, entryIndex: number): void
  /** After each piece of the log, with its bytes: whether to go on. */
  pieceDone(bytes: number): Promise<boolean>
  /** A piece could not be read: resolves to try again, rejects to end the scan. Damaged entries are repaired meanwhile. */
  readFailed(error: unknown): Promise<void>
}

export async function scanMessages(
  log: LogReader,
  range: ScanRange,
  visitor: ScanVisitor
): Promise<void> {
  const { fromPosition, endPosition } = range
  const view = new StoredMessageView()
  let index = fromPosition <= log.startPosition ? log.firstIndex : await log.indexAt(fromPosition)
  for (;;) {
    if (log.startPosition >= endPosition) return
    let entries: readonly Entry[]
    try {
      entries = await log.readEntries(Math.max(index, log.firstIndex), READ_BYTES)
    } catch (error) {
      await visitor.readFailed(error)
      continue
    }
    let bytes = 0
    for (const entry of entries) {
      if (entry.position >= endPosition) return
      bytes += entry.bytes.length
      index = entry.index + 1
      if (entry.kind !== EntryKind.messages) continue
      const hasCommands = (entry.flags & FLAG_COMMANDS_TRAILER) !== 0
      const end = hasCommands ? trailerStart(entry.bytes, ENTRY_HEADER_BYTES) : entry.bytes.length
      let at = ENTRY_HEADER_BYTES
      for (let i = 0; i < entry.count && entry.position + at < endPosition; i++) {
        const wrong = view.read(entry.bytes, at, end)
        if (wrong !== null)
          throw new Error(`entry ${entry.index}, byte ${at}: no message: ${wrong}`)
        visitor.message(view, entry.index)
        at += view.size
      }
    }
    if (entries.length === 0) return
    if (!(await visitor.pieceDone(bytes))) return
  }
}
