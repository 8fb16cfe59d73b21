/**
 * Open files, bounded in number: the least recently used is closed when another is opened.
 * A file that is being used is closed when its last user is done.
 */
import type { Disk, DiskFile } from '../platform/index.ts'

interface Held {
  readonly file: Promise<DiskFile>
  users: number
  evicted: boolean
}

export class FileCache {
  readonly #disk: Disk
  readonly #filesMax: number
  readonly #held = new Map<string, Held>()

  constructor(disk: Disk, filesMax: number) {
    this.#disk = disk
    this.#filesMax = filesMax
  }

  /** Opens the file (made when missing, with `create`; its directory must be there), and lends it for the time of `work`. */
  async use<T>(path: string, create: boolean, work: (file: DiskFile) => Promise<T>): Promise<T> {
    const held = this.#borrow(path, create)
    try {
      return await work(await held.file)
    } catch (error) {
      // A handle that failed to open must not stay: the file may be made later.
      if (this.#held.get(path) === held && !(await isOpen(held))) this.#held.delete(path)
      throw error
    } finally {
      held.users -= 1
      if (held.evicted && held.users === 0) await closeQuietly(held)
    }
  }

  /** Closes it, before it is deleted. */
  async drop(path: string): Promise<void> {
    const held = this.#held.get(path)
    if (held === undefined) return
    this.#held.delete(path)
    await this.#evict(held)
  }

  async closeAll(): Promise<void> {
    const all = [...this.#held.values()]
    this.#held.clear()
    for (const held of all) await this.#evict(held)
  }

  #borrow(path: string, create: boolean): Held {
    let held = this.#held.get(path)
    if (held === undefined) {
      held = { file: this.#disk.open(path, { create }), users: 0, evicted: false }
      // Everybody who waits for it gets the error; without anybody it is none.
      held.file.catch(() => {})
    } else {
      this.#held.delete(path)
    }
    held.users += 1
    this.#held.set(path, held)
    if (this.#held.size > this.#filesMax) this.#evictOldest()
    return held
  }

  #evictOldest(): void {
    for (const [path, held] of this.#held) {
      this.#held.delete(path)
      void this.#evict(held)
      return
    }
  }

  async #evict(held: Held): Promise<void> {
    held.evicted = true
    if (held.users === 0) await closeQuietly(held)
  }
}

async function isOpen(held: Held): Promise<boolean> {
  try {
    await held.file
    return true
  } catch {
    return false
  }
}

async function closeQuietly(held: Held): Promise<void> {
  try {
    await (await held.file).close()
  } catch {
    // It never opened, or the system lost it: nothing is left to close.
  }
}
