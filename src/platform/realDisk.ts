import fs from 'node:fs'
import { dirname, join } from 'node:path'
import { DirectFile, NoDirectWrites } from './directFile.ts'
import type { Disk, DiskFile, DiskSpace, FileInfo } from './disk.ts'

/** `writev` takes at most this many buffers in one call (IOV_MAX on Linux). */
const BUFFERS_PER_WRITE_MAX = 1024

/** Blocks that are kept back (`bfree` - `bavail`) are neither used nor free: counted as used, a disk would be full too early. */
export function spaceOf(
  stats: Pick<fs.StatsFs, 'blocks' | 'bfree' | 'bavail' | 'bsize'>
): DiskSpace {
  const { blocks, bfree, bavail, bsize } = stats
  return { totalBytes: (blocks - bfree + bavail) * bsize, freeBytes: bavail * bsize }
}

class RealFile implements DiskFile {
  readonly path: string
  readonly #descriptor: number
  /** Of the same file with O_DSYNC: write and fdatasync in one hand-over to the thread pool. */
  #durable: Promise<number> | null = null
  /** Asked for by the first append, from then on the way of all writes; null: there is none. */
  #direct: Promise<DirectFile | null> | null = null
  #directDescriptor: number | null = null
  /** Writes by way of the page cache that are under way. */
  readonly #cached = new Set<Promise<void>>()

  constructor(path: string, descriptor: number) {
    this.path = path
    this.#descriptor = descriptor
  }

  async read(target: Buffer, offset: number, length: number, position: number): Promise<number> {
    let done = 0
    while (done < length) {
      const count = await this.#readOnce(target, offset + done, length - done, position + done)
      if (count === 0) break
      done += count
    }
    return done
  }

  async write(buffers: readonly Buffer[], position: number): Promise<void> {
    if (this.#direct !== null && (await this.#wroteDirectly('write', buffers, position))) return
    await this.#writeCached(this.#descriptor, buffers, position)
  }

  writeNow(bytes: Buffer, position: number): void {
    let done = 0
    while (done < bytes.length) {
      const left = bytes.length - done
      done += fs.writeSync(this.#descriptor, bytes, done, left, position + done)
    }
  }

  async writeDurably(buffers: readonly Buffer[], position: number): Promise<void> {
    if (this.#direct !== null && (await this.#wroteDirectly('write', buffers, position))) return
    await this.#writeCached(await this.#openDurable(), buffers, position)
  }

  async appendDurably(buffers: readonly Buffer[], position: number): Promise<void> {
    this.#direct ??= this.#openDirect()
    if (await this.#wroteDirectly('append', buffers, position)) return
    await this.#writeCached(await this.#openDurable(), buffers, position)
  }

  #openDurable(): Promise<number> {
    if (this.#durable === null) {
      const opened = openDescriptor(this.path, fs.constants.O_WRONLY | fs.constants.O_DSYNC)
      this.#durable = opened
      opened.catch(() => {
        if (this.#durable === opened) this.#durable = null
      })
    }
    return this.#durable
  }

  async #openDirect(): Promise<DirectFile | null> {
    const { O_WRONLY, O_DSYNC, O_DIRECT } = fs.constants
    if (O_DIRECT === undefined) return null // not Linux
    await Promise.allSettled(this.#cached)
    try {
      this.#directDescriptor = await openDescriptor(this.path, O_WRONLY | O_DSYNC | O_DIRECT)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EINVAL') return null // the file system cannot
      this.#direct = null
      throw error
    }
    return new DirectFile(this.#directDescriptor, this.read.bind(this))
  }

  /** False: there is no such way, and nothing was written. */
  async #wroteDirectly(
    how: 'write' | 'append',
    buffers: readonly Buffer[],
    position: number
  ): Promise<boolean> {
    const direct = await this.#direct
    if (direct === null) return false
    try {
      await direct[how](buffers, position)
      return true
    } catch (error) {
      if (!(error instanceof NoDirectWrites)) throw error
      this.#direct = Promise.resolve(null)
      return false
    }
  }

  async #writeCached(
    descriptor: number,
    buffers: readonly Buffer[],
    position: number
  ): Promise<void> {
    const written = this.#writeAll(descriptor, buffers, position)
    this.#cached.add(written)
    try {
      await written
    } finally {
      this.#cached.delete(written)
    }
  }

  async #writeAll(descriptor: number, buffers: readonly Buffer[], position: number): Promise<void> {
    let rest = buffers
    let at = position
    while (rest.length > 0) {
      const part = rest.length > BUFFERS_PER_WRITE_MAX ? rest.slice(0, BUFFERS_PER_WRITE_MAX) : rest
      const written = await this.#writeOnce(descriptor, part, at)
      at += written
      rest = behind(rest, written)
    }
  }

  datasync(): Promise<void> {
    return new Promise((resolve, reject) =>
      fs.fdatasync(this.#descriptor, error => (error ? reject(error) : resolve()))
    )
  }

  async truncate(length: number): Promise<void> {
    const direct = await this.#direct
    direct?.forget()
    await new Promise<void>((resolve, reject) =>
      fs.ftruncate(this.#descriptor, length, error => (error ? reject(error) : resolve()))
    )
  }

  size(): Promise<number> {
    return new Promise((resolve, reject) =>
      fs.fstat(this.#descriptor, (error, stats) => (error ? reject(error) : resolve(stats.size)))
    )
  }

  async close(): Promise<void> {
    const durable = this.#durable
    this.#durable = null
    if (durable !== null) await durable.then(closeDescriptor, () => {})
    if (this.#directDescriptor !== null) await closeDescriptor(this.#directDescriptor)
    await closeDescriptor(this.#descriptor)
  }

  #readOnce(target: Buffer, offset: number, length: number, position: number): Promise<number> {
    return new Promise((resolve, reject) =>
      fs.read(this.#descriptor, target, offset, length, position, (error, count) =>
        error ? reject(error) : resolve(count)
      )
    )
  }

  #writeOnce(descriptor: number, buffers: readonly Buffer[], position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const done = (error: Error | null, written: number): void =>
        error ? reject(error) : resolve(written)
      if (buffers.length === 1) {
        const only = buffers[0]!
        fs.write(descriptor, only, 0, only.length, position, done)
      } else {
        fs.writev(descriptor, buffers as Buffer[], position, done)
      }
    })
  }
}

/** What is left of `buffers` once their first `bytes` bytes are written. */
function behind(buffers: readonly Buffer[], bytes: number): readonly Buffer[] {
  let left = bytes
  let first = 0
  while (first < buffers.length && left >= buffers[first]!.length) {
    left -= buffers[first]!.length
    first += 1
  }
  if (first === buffers.length) return []
  const rest = buffers.slice(first)
  if (left > 0) rest[0] = rest[0]!.subarray(left)
  return rest
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT'
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await fs.promises.open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function openDescriptor(path: string, flags: number): Promise<number> {
  return new Promise((resolve, reject) =>
    fs.open(path, flags, 0o644, (error, descriptor) =>
      error ? reject(error) : resolve(descriptor)
    )
  )
}

function closeDescriptor(descriptor: number): Promise<void> {
  return new Promise((resolve, reject) =>
    fs.close(descriptor, error => (error ? reject(error) : resolve()))
  )
}

/** The machine's file system. */
export const realDisk: Disk = {
  async open(path, options): Promise<DiskFile> {
    const { O_RDWR, O_CREAT } = fs.constants
    const flags = options?.create === true ? O_RDWR | O_CREAT : O_RDWR
    return new RealFile(path, await openDescriptor(path, flags))
  },

  async makeDirectory(path): Promise<void> {
    await fs.promises.mkdir(path, { recursive: true })
  },

  async list(path): Promise<FileInfo[]> {
    let names: string[]
    try {
      names = await fs.promises.readdir(path)
    } catch (error) {
      if (isMissing(error)) return []
      throw error
    }
    const infos: FileInfo[] = []
    for (const name of names.sort()) {
      const stats = await fs.promises.stat(join(path, name)).catch(error => {
        if (isMissing(error)) return null // deleted since the directory was read
        throw error
      })
      if (stats === null) continue
      infos.push({
        name,
        isDirectory: stats.isDirectory(),
        bytes: stats.size,
        modifiedMs: stats.mtimeMs
      })
    }
    return infos
  },

  async exists(path): Promise<boolean> {
    try {
      await fs.promises.access(path)
      return true
    } catch (error) {
      if (isMissing(error)) return false
      throw error
    }
  },

  readFile: path => fs.promises.readFile(path),

  async writeFileAtomic(path, data): Promise<void> {
    // Behind a symbolic link stands the file that is meant; renaming over the link would cut it off.
    const replaced = await fs.promises.realpath(path).catch(() => path)
    const mode = await fs.promises.stat(replaced).then(
      info => info.mode & 0o777,
      () => null
    )
    const side = `${replaced}.tmp`
    const handle = await fs.promises.open(side, 'w')
    try {
      if (mode !== null) await handle.chmod(mode)
      await handle.writeFile(data)
      await handle.datasync()
    } finally {
      await handle.close()
    }
    await fs.promises.rename(side, replaced)
    await syncDirectory(dirname(replaced))
  },

  rename: (from, to) => fs.promises.rename(from, to),

  async remove(path): Promise<void> {
    await fs.promises.rm(path, { recursive: true, force: true })
  },

  syncDirectory,

  async space(path): Promise<DiskSpace> {
    return spaceOf(await fs.promises.statfs(path))
  },

  async identity(path): Promise<string> {
    try {
      const { ino, birthtimeNs, ctimeNs } = await fs.promises.stat(path, { bigint: true })
      // Without a time of birth Node.js tells 0, or the time of the last change.
      return `${ino}.${birthtimeNs === ctimeNs ? 0n : birthtimeNs}`
    } catch (error) {
      if (isMissing(error)) return ''
      throw error
    }
  }
}
