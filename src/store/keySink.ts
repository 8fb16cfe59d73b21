/** Which keys a message is found by (broker.md 3.4): UNIQ_KEY, and each word of KEYS. */
import { keyHash } from './keyHash.ts'
import type { StoredMessageView } from './storedMessageView.ts'

const SPACE = 0x20
const ROLLBACK = 0xc

export interface KeySink {
  add(hash: number, position: number, time: number, entryIndex: number): void
}

/** `seed`: the hash's state after the message's topic. Its properties must have been scanned. */
export function addKeys(
  sink: KeySink,
  message: StoredMessageView,
  seed: number,
  entryIndex: number
): void {
  const { bytes, physicalOffset, storeTimestamp, sysFlag } = message
  if ((sysFlag & ROLLBACK) === ROLLBACK) return
  const { uniqueKeyStart, uniqueKeyEnd, keysStart, keysEnd } = message
  if (uniqueKeyEnd > uniqueKeyStart) {
    const hash = keyHash(seed, bytes, uniqueKeyStart, uniqueKeyEnd)
    sink.add(hash, physicalOffset, storeTimestamp, entryIndex)
  }
  let start = keysStart
  while (start < keysEnd) {
    let end = start
    while (end < keysEnd && bytes[end] !== SPACE) end++
    if (end > start) {
      sink.add(keyHash(seed, bytes, start, end), physicalOffset, storeTimestamp, entryIndex)
    }
    start = end + 1
  }
}
