/**
 * One process at a time on a store. Node.js cannot lock files, but LevelDB does: an empty one beside the store's is held
 * for as long as the store is open, and the system frees it when the process ends, however that comes.
 */
import { join } from 'node:path'
import { Level } from 'level'
import type { Disk } from '../platform/index.ts'
import { StateOpenError } from './keyValueStore.ts'

export interface StoreLock {
  release(): Promise<void>
}

/** Rejects with StateOpenError when another process has it. */
export async function lockStore(disk: Disk, directory: string): Promise<StoreLock> {
  const path = join(directory, 'lock')
  await disk.makeDirectory(directory)
  for (let attempt = 0; ; attempt++) {
    const level = new Level(path)
    try {
      await level.open()
      return { release: () => level.close() }
    } catch (error) {
      const cause = (error as { cause?: { code?: string; message?: string } }).cause
      if (cause?.code === 'LEVEL_LOCKED') {
        throw new StateOpenError(
          `the store ${directory} is held by another process: is a broker running on it?`,
          { cause: error }
        )
      }
      if (attempt > 0) {
        throw new StateOpenError(
          `the store ${directory} cannot be locked: ${cause?.message ?? String(error)}`,
          { cause: error }
        )
      }
      // There is nothing in it that could be lost.
      await disk.remove(path)
    }
  }
}
