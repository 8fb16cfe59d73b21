/** A write that found no space is tried again after this time (raft.md 4.11). */
export const RETRY_NO_SPACE_MS = 250

export function isNoSpace(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code
  return code === 'ENOSPC' || code === 'EDQUOT'
}

/** For what can be written another time. */
export function ignoreNoSpace(error: unknown): void {
  if (!isNoSpace(error)) throw error
}
