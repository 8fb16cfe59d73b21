import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import {
  appendBlockEnd,
  type Disk,
  type DiskFile,
  type DiskSpace,
  type FileInfo
} from '../../src/platform/index.ts'
import { generator } from './generator.ts'

const SECTOR_BYTES = 512
const PAGE_BYTES = 4096

export type DiskOperation = 'open' | 'read' | 'write' | 'sync' | 'truncate' | 'directory'

export interface OperationInfo {
  readonly kind: DiskOperation
  readonly path: string
  readonly bytes: number
}

export interface MemoryDiskOptions {
  /** Decides what a power loss leaves and how far a killed write came. */
  readonly seed?: number
  /** Later in the same thread; default setImmediate. A simulation passes its own. */
  readonly defer?: (callback: () => void) => void
  /** Sum of all file lengths; beyond it writes answer ENOSPC. */
  readonly capacityBytes?: number
  /** Where a kill can stop a write: after any byte (default), or at the end of a page, as on Linux. */
  readonly killedAt?: 'byte' | 'page'
}

/** What a power loss does with sectors that were not synced, each by itself when 'random'. */
export type Unsynced = 'keep' | 'drop' | 'random'

interface Inode {
  readonly number: number
  cached: Buffer
  length: number
  durable: Buffer
  durableLength: number
  /** Sectors that differ, or may differ, from what is durable. */
  readonly dirty: Set<number>
}

interface WriteInFlight {
  readonly inode: Inode
  readonly bytes: Buffer
  readonly position: number
}

type DirectoryChange =
  | { readonly kind: 'set'; readonly path: string; readonly inode: Inode }
  | { readonly kind: 'rename'; readonly from: string; readonly path: string; readonly inode: Inode }
  | { readonly kind: 'renameDirectory'; readonly from: string; readonly path: string }
  | { readonly kind: 'delete'; readonly path: string }

interface Failure {
  readonly kind: DiskOperation
  readonly code: string
  readonly path: string
  times: number
}

/**
 * A machine's disk in memory: a page cache, below it what is durable, sector by sector, and a directory whose changes
 * are durable in order once it is synced. Directories themselves are durable at once. A process works on what `mount`
 * gives it; `kill` ends the process and keeps the page cache, `powerLoss` takes what was not synced.
 */
export class MemoryDisk {
  capacityBytes: number
  /** What `space` tells of; null: the capacity. A quota is such a limit that nobody sees coming. */
  shownBytes: number | null = null
  operations = 0
  /** Called before each operation takes effect: may be slow, may throw, may kill. */
  hook: ((operation: OperationInfo) => Promise<void> | undefined) | null = null
  readonly #defer: (callback: () => void) => void
  readonly #killedAt: 'byte' | 'page'
  #random: () => number
  #generation = 0
  #inodes = 0
  #killIn = 0
  #onKilled: (() => void) | null = null
  #files = new Map<string, Inode>()
  #durableFiles = new Map<string, Inode>()
  #changes: DirectoryChange[] = []
  readonly #directories = new Set<string>(['/', '.'])
  readonly #writing = new Set<WriteInFlight>()
  #failures: Failure[] = []

  constructor(options: MemoryDiskOptions = {}) {
    this.#random = generator(options.seed ?? 1)
    this.#defer = options.defer ?? (callback => setImmediate(callback))
    this.#killedAt = options.killedAt ?? 'byte'
    this.capacityBytes = options.capacityBytes ?? Number.MAX_SAFE_INTEGER
  }

  /** The disk as a process sees it, until `kill` or `powerLoss`: then nothing of it answers any more. */
  mount(): Disk {
    return new Mounted(this, this.#generation)
  }

  /** The next `times` operations of this kind on paths that contain `path` fail with this code. Returns what ends it before. */
  failNext(kind: DiskOperation, code: string, { times = 1, path = '' } = {}): () => void {
    const failure = { kind, code, path, times }
    this.#failures.push(failure)
    return () => {
      failure.times = 0
    }
  }

  /** What `failNext` planned and did not come yet. */
  failNoMore(): void {
    this.#failures = []
  }

  /** The process dies: its handles answer nothing any more, a write under way may have come to any byte, or page. */
  kill(): void {
    this.#generation += 1
    for (const { inode, bytes, position } of this.#writing) {
      let reached = Math.floor(this.#random() * (bytes.length + 1))
      if (this.#killedAt === 'page' && reached < bytes.length) {
        reached = Math.max(0, reached - ((position + reached) % PAGE_BYTES))
      }
      this.#place(inode, bytes.subarray(0, reached), position)
    }
    this.#writing.clear()
    this.#failures = []
    this.#killIn = 0
  }

  /** Kills in the middle of the n-th operation from now on; `killed` is called after it. */
  killAt(operations: number, killed: () => void): void {
    this.#killIn = operations
    this.#onKilled = killed
  }

  /** The machine loses power: sectors and directory changes that were not synced are kept or lost. */
  powerLoss(unsynced: Unsynced = 'random'): void {
    this.kill()
    const survives = (): boolean =>
      unsynced === 'random' ? this.#random() < 0.5 : unsynced === 'keep'
    const kept = unsynced === 'random' ? Math.floor(this.#random() * (this.#changes.length + 1)) : 0
    const changes = unsynced === 'keep' ? this.#changes : this.#changes.slice(0, kept)
    for (const change of changes) applyChange(this.#durableFiles, change)
    this.#changes = []
    const inodes = new Set([...this.#files.values(), ...this.#durableFiles.values()])
    for (const inode of inodes) loseSectors(inode, survives)
    this.#files = new Map(this.#durableFiles)
    // A rename that went lost brings its directories back.
    for (const path of this.#files.keys()) this.makeDirectory(dirname(path))
  }

  /** Another disk takes its place: nothing is on it. To be called while no process runs. */
  wipe(): void {
    this.kill()
    this.#files = new Map()
    this.#durableFiles = new Map()
    this.#changes = []
    this.#directories.clear()
    for (const directory of ['/', '.']) this.#directories.add(directory)
  }

  /** Flips bits of a byte, in the page cache and below it. */
  corrupt(path: string, position: number, mask = 0x40): void {
    const inode = this.#must(path)
    if (position >= inode.length) throw new RangeError(`${path} has ${inode.length} bytes`)
    inode.cached[position]! ^= mask
    if (position < inode.durableLength) inode.durable[position]! ^= mask
  }

  /** Puts bytes into a file behind everybody's back. */
  overwrite(path: string, position: number, bytes: Buffer): void {
    const inode = this.#must(path)
    this.#place(inode, bytes, position)
    this.flush(inode, snapshot(inode))
  }

  /** Cuts a file short behind everybody's back. */
  shorten(path: string, length: number): void {
    const inode = this.#must(path)
    this.truncate(inode, length)
    this.flush(inode, snapshot(inode))
  }

  delete(path: string): void {
    this.#files.delete(path)
    this.#durableFiles.delete(path)
  }

  contents(path: string): Buffer {
    const inode = this.#must(path)
    return Buffer.from(inode.cached.subarray(0, inode.length))
  }

  /** CRC-32 of what the file has there, below the page cache or in it; null when it is shorter. */
  crcAt(path: string, position: number, length: number, durable: boolean): number | null {
    const inode = (durable ? this.#durableFiles : this.#files).get(path)
    if (inode === undefined) return null
    const end = position + length
    if (end > (durable ? inode.durableLength : inode.length)) return null
    return crc32((durable ? inode.durable : inode.cached).subarray(position, end))
  }

  paths(): string[] {
    return [...this.#files.keys()].sort()
  }

  usedBytes(): number {
    let sum = 0
    for (const inode of this.#files.values()) sum += inode.length
    return sum
  }

  /** Runs one operation of a process: in a later turn, unless it was killed by then. */
  async operate<T>(
    generation: number,
    operation: OperationInfo,
    effect: () => T,
    inFlight: WriteInFlight | null = null
  ): Promise<T> {
    if (generation !== this.#generation) return never()
    if (inFlight !== null) this.#writing.add(inFlight)
    this.operations += 1
    try {
      await new Promise<void>(resolve => this.#defer(resolve))
      await this.hook?.(operation)
      if (this.#killIn > 0 && --this.#killIn === 0) {
        this.kill()
        this.#onKilled?.()
      }
      if (generation !== this.#generation) return await never()
      this.#failIfPlanned(operation)
      return effect()
    } finally {
      if (inFlight !== null) this.#writing.delete(inFlight)
    }
  }

  /** Nothing comes between; of a process that was killed it has no effect. */
  operateNow(generation: number, kind: DiskOperation, path: string, effect: () => void): void {
    if (generation !== this.#generation) return
    this.operations += 1
    this.#failIfPlanned({ kind, path, bytes: 0 })
    effect()
  }

  open(path: string, create: boolean): Inode {
    const found = this.#files.get(path)
    if (found !== undefined) return found
    if (!create || !this.#directories.has(dirname(path))) throw systemError('ENOENT', 'open', path)
    this.#inodes += 1
    const inode: Inode = {
      number: this.#inodes,
      cached: Buffer.alloc(0),
      length: 0,
      durable: Buffer.alloc(0),
      durableLength: 0,
      dirty: new Set()
    }
    this.#change({ kind: 'set', path, inode })
    return inode
  }

  read(inode: Inode, target: Buffer, offset: number, length: number, position: number): number {
    const end = Math.min(position + length, inode.length)
    return end <= position ? 0 : inode.cached.copy(target, offset, position, end)
  }

  write(inode: Inode, bytes: Buffer, position: number, path: string): void {
    const growth = Math.max(0, position + bytes.length - inode.length)
    const isLimited = this.capacityBytes < Number.MAX_SAFE_INTEGER
    const free = isLimited ? this.capacityBytes - this.usedBytes() : growth
    if (growth > free) {
      this.#place(inode, bytes.subarray(0, Math.max(0, inode.length + free - position)), position)
      throw systemError('ENOSPC', 'write', path)
    }
    this.#place(inode, bytes, position)
  }

  truncate(inode: Inode, length: number): void {
    if (length < inode.length) {
      inode.cached.fill(0, length, inode.length)
      for (let at = length; at < inode.length; at += SECTOR_BYTES) inode.dirty.add(sectorOf(at))
      inode.dirty.add(sectorOf(inode.length - 1))
    }
    inode.cached = grown(inode.cached, length)
    inode.length = length
  }

  makeDirectory(path: string): void {
    for (let at = path; !this.#directories.has(at); at = dirname(at)) this.#directories.add(at)
  }

  list(path: string): FileInfo[] {
    const infos: FileInfo[] = []
    for (const [file, inode] of this.#files) {
      if (dirname(file) !== path) continue
      infos.push({
        name: file.slice(path.length + 1),
        isDirectory: false,
        bytes: inode.length,
        modifiedMs: 0
      })
    }
    for (const directory of this.#directories) {
      if (directory === path || dirname(directory) !== path) continue
      const name = directory.slice(path.length + 1)
      infos.push({ name, isDirectory: true, bytes: 0, modifiedMs: 0 })
    }
    return infos.sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  exists(path: string): boolean {
    return this.#files.has(path) || this.#directories.has(path)
  }

  rename(from: string, to: string): void {
    if (!this.#files.has(from) && this.#directories.has(from)) {
      this.#change({ kind: 'renameDirectory', from, path: to })
      for (const directory of [...this.#directories]) {
        if (directory !== from && !directory.startsWith(`${from}/`)) continue
        this.#directories.delete(directory)
        this.makeDirectory(to + directory.slice(from.length))
      }
      return
    }
    const inode = this.#must(from)
    this.#change({ kind: 'rename', from, path: to, inode })
  }

  remove(path: string): void {
    for (const file of [...this.#files.keys()]) {
      if (file === path || file.startsWith(`${path}/`)) this.#change({ kind: 'delete', path: file })
    }
    for (const directory of [...this.#directories]) {
      if (directory === path || directory.startsWith(`${path}/`))
        this.#directories.delete(directory)
    }
  }

  syncDirectory(path: string): void {
    let later: DirectoryChange[] = []
    for (const change of this.#changes) {
      if (dirname(change.path) !== path) {
        later.push(change)
        continue
      }
      applyChange(this.#durableFiles, change)
      // What happened to the directory of before under this name touches nothing of the new one.
      if (change.kind === 'renameDirectory')
        later = later.filter(before => !before.path.startsWith(`${change.path}/`))
    }
    this.#changes = later
  }

  #change(change: DirectoryChange): void {
    applyChange(this.#files, change)
    this.#changes.push(change)
  }

  #place(inode: Inode, bytes: Buffer, position: number): void {
    if (bytes.length === 0) return
    const end = position + bytes.length
    inode.cached = grown(inode.cached, end)
    bytes.copy(inode.cached, position)
    for (let at = position; at < end; at += SECTOR_BYTES) inode.dirty.add(sectorOf(at))
    inode.dirty.add(sectorOf(end - 1))
    inode.length = Math.max(inode.length, end)
  }

  flush(inode: Inode, taken: Snapshot): void {
    inode.durable = grown(inode.durable, taken.length)
    for (const [sector, bytes] of taken.sectors) {
      bytes.copy(inode.durable, sector * SECTOR_BYTES)
      const now = inode.cached.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES)
      if (now.equals(bytes)) inode.dirty.delete(sector)
    }
    inode.durableLength = taken.length
  }

  identity(path: string): string {
    const inode = this.#files.get(path)
    return inode === undefined ? '' : `${inode.number}.0`
  }

  #must(path: string): Inode {
    const inode = this.#files.get(path)
    if (inode === undefined) throw systemError('ENOENT', 'open', path)
    return inode
  }

  #failIfPlanned({ kind, path }: OperationInfo): void {
    const failure = this.#failures.find(
      f => f.kind === kind && f.times > 0 && path.includes(f.path)
    )
    if (failure === undefined) return
    failure.times -= 1
    throw systemError(failure.code, kind, path)
  }
}

interface Snapshot {
  readonly length: number
  readonly sectors: Map<number, Buffer>
}

class Mounted implements Disk {
  readonly #disk: MemoryDisk
  readonly #generation: number

  constructor(disk: MemoryDisk, generation: number) {
    this.#disk = disk
    this.#generation = generation
  }

  #run<T>(kind: DiskOperation, path: string, effect: () => T): Promise<T> {
    return this.#disk.operate(this.#generation, { kind, path, bytes: 0 }, effect)
  }

  async open(path: string, options?: { create?: boolean }): Promise<DiskFile> {
    const inode = await this.#run('open', path, () =>
      this.#disk.open(path, options?.create === true)
    )
    return new MountedFile(this.#disk, this.#generation, path, inode)
  }

  makeDirectory(path: string): Promise<void> {
    return this.#run('directory', path, () => this.#disk.makeDirectory(path))
  }
  list(path: string): Promise<FileInfo[]> {
    return this.#run('directory', path, () => this.#disk.list(path))
  }
  exists(path: string): Promise<boolean> {
    return this.#run('directory', path, () => this.#disk.exists(path))
  }
  readFile(path: string): Promise<Buffer> {
    return this.#run('read', path, () => this.#disk.contents(path))
  }

  async writeFileAtomic(path: string, data: Buffer): Promise<void> {
    const side = `${path}.tmp`
    const file = await this.open(side, { create: true })
    await file.truncate(0)
    await file.write([data], 0)
    await file.datasync()
    await file.close()
    await this.rename(side, path)
    await this.syncDirectory(dirname(path))
  }

  rename(from: string, to: string): Promise<void> {
    return this.#run('directory', from, () => this.#disk.rename(from, to))
  }
  remove(path: string): Promise<void> {
    return this.#run('directory', path, () => this.#disk.remove(path))
  }
  syncDirectory(path: string): Promise<void> {
    return this.#run('sync', path, () => this.#disk.syncDirectory(path))
  }
  space(path: string): Promise<DiskSpace> {
    return this.#run('directory', path, () => {
      const totalBytes = this.#disk.shownBytes ?? this.#disk.capacityBytes
      return { totalBytes, freeBytes: Math.max(0, totalBytes - this.#disk.usedBytes()) }
    })
  }
  identity(path: string): Promise<string> {
    return Promise.resolve(this.#disk.identity(path))
  }
}

class MountedFile implements DiskFile {
  readonly path: string
  readonly #disk: MemoryDisk
  readonly #generation: number
  readonly #inode: Inode
  #closed = false

  constructor(disk: MemoryDisk, generation: number, path: string, inode: Inode) {
    this.#disk = disk
    this.#generation = generation
    this.path = path
    this.#inode = inode
  }

  #run<T>(kind: DiskOperation, bytes: number, effect: () => T, write?: WriteInFlight): Promise<T> {
    if (this.#closed) return Promise.reject(systemError('EBADF', kind, this.path))
    return this.#disk.operate(this.#generation, { kind, path: this.path, bytes }, effect, write)
  }

  read(target: Buffer, offset: number, length: number, position: number): Promise<number> {
    return this.#run('read', length, () =>
      this.#disk.read(this.#inode, target, offset, length, position)
    )
  }

  write(buffers: readonly Buffer[], position: number): Promise<void> {
    const bytes = Buffer.concat(buffers)
    const inFlight = { inode: this.#inode, bytes, position }
    const effect = (): void => this.#disk.write(this.#inode, bytes, position, this.path)
    return this.#run('write', bytes.length, effect, inFlight)
  }

  writeNow(bytes: Buffer, position: number): void {
    if (this.#closed) throw systemError('EBADF', 'write', this.path)
    this.#disk.operateNow(this.#generation, 'write', this.path, () =>
      this.#disk.write(this.#inode, bytes, position, this.path)
    )
  }

  /** Two operations: a crash or an error may come between them, as within the one of a real disk. */
  async writeDurably(buffers: readonly Buffer[], position: number): Promise<void> {
    await this.write(buffers, position)
    await this.#sync(snapshot(this.#inode, position, endOf(buffers, position)))
  }

  /** With the zeros that a direct write leaves in its last block. */
  async appendDurably(buffers: readonly Buffer[], position: number): Promise<void> {
    const end = endOf(buffers, position)
    const padding = Buffer.alloc(appendBlockEnd(end) - end)
    const { cached } = this.#inode
    if (cached.subarray(end, end + padding.length).some(byte => byte !== 0)) {
      throw new Error(`${this.path}: bytes behind an append that ends at ${end} are not zero`)
    }
    await this.writeDurably([...buffers, padding], position)
  }

  datasync(): Promise<void> {
    return this.#sync(snapshot(this.#inode))
  }

  /** As on Linux, a failure leaves the pages clean: they read well, and no later sync writes them. */
  async #sync(taken: Snapshot): Promise<void> {
    try {
      await this.#run('sync', 0, () => this.#disk.flush(this.#inode, taken))
    } catch (error) {
      for (const sector of taken.sectors.keys()) this.#inode.dirty.delete(sector)
      throw error
    }
  }
  truncate(length: number): Promise<void> {
    return this.#run('truncate', 0, () => this.#disk.truncate(this.#inode, length))
  }
  size(): Promise<number> {
    return this.#run('read', 0, () => this.#inode.length)
  }
  async close(): Promise<void> {
    await this.#run('open', 0, () => {})
    this.#closed = true
  }
}

const endOf = (buffers: readonly Buffer[], position: number): number =>
  buffers.reduce((end, { length }) => end + length, position)

const sectorOf = (position: number): number => Math.floor(position / SECTOR_BYTES)

/** What a sync of the bytes from `from` to `to` would bring to the disk; of all by default. */
function snapshot(inode: Inode, from = 0, to = inode.length): Snapshot {
  const sectors = new Map<number, Buffer>()
  const { dirty, cached } = inode
  const copy = (sector: number): void => {
    const at = sector * SECTOR_BYTES
    sectors.set(sector, Buffer.from(cached.subarray(at, at + SECTOR_BYTES)))
  }
  const first = sectorOf(from)
  const end = sectorOf(to + SECTOR_BYTES - 1)
  // Zeros written ahead of a log leave many dirty sectors, of which a write brings along few.
  if (end - first < dirty.size) {
    for (let sector = first; sector < end; sector++) if (dirty.has(sector)) copy(sector)
  } else {
    for (const sector of dirty) if (sector >= first && sector < end) copy(sector)
  }
  return { length: Math.max(inode.durableLength, to), sectors }
}

function loseSectors(inode: Inode, survives: () => boolean): void {
  const before = grown(Buffer.from(inode.durable), inode.length)
  const length = survives() ? inode.length : inode.durableLength
  for (const sector of inode.dirty) {
    if (!survives()) continue
    const at = sector * SECTOR_BYTES
    inode.cached.copy(before, at, at, Math.min(at + SECTOR_BYTES, inode.cached.length))
  }
  before.fill(0, Math.min(length, before.length))
  inode.durable = before
  inode.durableLength = length
  inode.cached = Buffer.from(before)
  inode.length = length
  inode.dirty.clear()
}

/** The same buffer or a larger one with the same bytes; whole sectors, zeros behind. */
function grown(buffer: Buffer, length: number): Buffer {
  if (buffer.length >= length) return buffer
  const wanted = Math.max(length, Math.min(buffer.length * 2, buffer.length + 4_194_304))
  const larger = Buffer.alloc(Math.ceil(wanted / SECTOR_BYTES) * SECTOR_BYTES)
  buffer.copy(larger)
  return larger
}

function applyChange(files: Map<string, Inode>, change: DirectoryChange): void {
  if (change.kind === 'renameDirectory') {
    const { from, path } = change
    // What was below the new name is not reached any more.
    for (const file of [...files.keys()]) if (file.startsWith(`${path}/`)) files.delete(file)
    for (const [file, inode] of [...files]) {
      if (!file.startsWith(`${from}/`)) continue
      files.delete(file)
      files.set(path + file.slice(from.length), inode)
    }
    return
  }
  if (change.kind === 'rename') files.delete(change.from)
  if (change.kind === 'delete') files.delete(change.path)
  else files.set(change.path, change.inode)
}

function systemError(code: string, operation: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${operation} '${path}'`), { code, path })
}

function never<T>(): Promise<T> {
  return new Promise(() => {})
}
