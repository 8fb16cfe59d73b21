/** Appends may leave zeros as far as the next multiple of this. The largest logical block that disks have. */
export const APPEND_BLOCK_BYTES = 4096

/** Where the block ends that the byte before `position` lies in. */
export function appendBlockEnd(position: number): number {
  return Math.ceil(position / APPEND_BLOCK_BYTES) * APPEND_BLOCK_BYTES
}

/** An open file. Positions and lengths are bytes. Errors are Node.js' system errors (`code` ENOSPC, EIO, …). */
export interface DiskFile {
  readonly path: string
  /** Reads up to `length` bytes at `position` into `target` at `offset`; resolves to the bytes read, less only at the end of the file. */
  read(target: Buffer, offset: number, length: number, position: number): Promise<number>
  /** Writes all buffers one behind the other at `position`; resolves when the operating system has them (page cache). */
  write(buffers: readonly Buffer[], position: number): Promise<void>
  /**
   * As `write`, and the operating system has the bytes when this returns. For a few bytes of a file that is never appended to, where it has
   * blocks already: that takes 2 µs, the thread pool 20; more would hold up everything.
   */
  writeNow(bytes: Buffer, position: number): void
  /** As `write`, and resolves when these bytes are on the disk (O_DSYNC); says nothing of what was written before. Half of it may be there after an error. */
  writeDurably(buffers: readonly Buffer[], position: number): Promise<void>
  /**
   * As `writeDurably`, past the page cache where the file system can do that (O_DIRECT). Only where the file has nothing or zeros behind these bytes,
   * as far as the next multiple of APPEND_BLOCK_BYTES: zeros may be written there, so that the file grows.
   */
  appendDurably(buffers: readonly Buffer[], position: number): Promise<void>
  /** Resolves when everything written before this call is on the disk (fdatasync). */
  datasync(): Promise<void>
  truncate(length: number): Promise<void>
  size(): Promise<number>
  close(): Promise<void>
}

export interface DiskSpace {
  /** What is used and what is free for this process; without what the file system keeps back for others, as `df` reckons. */
  totalBytes: number
  /** Free for this process. */
  freeBytes: number
}

export interface FileInfo {
  name: string
  isDirectory: boolean
  bytes: number
  modifiedMs: number
}

/** The only way to the file system. Paths are absolute or relative to the process' directory. */
export interface Disk {
  /** `create` makes the file when it is missing (parents must exist), else a missing file is ENOENT; always readable and writable. */
  open(path: string, options?: { create?: boolean }): Promise<DiskFile>
  /** Makes the directory and its parents; fine when it is there. */
  makeDirectory(path: string): Promise<void>
  /** Entries of a directory, sorted by name; empty when the directory is missing. */
  list(path: string): Promise<FileInfo[]>
  exists(path: string): Promise<boolean>
  readFile(path: string): Promise<Buffer>
  /** Replaces the file as a whole: a side file, synced, renamed over it, directory synced. The file keeps its mode, and a link to it stays one. */
  writeFileAtomic(path: string, data: Buffer): Promise<void>
  rename(from: string, to: string): Promise<void>
  /** Deletes a file, or a directory with all in it; fine when it is missing. */
  remove(path: string): Promise<void>
  /** Makes creations, renames and deletions in this directory durable. */
  syncDirectory(path: string): Promise<void>
  space(path: string): Promise<DiskSpace>
  /**
   * Names the file itself and not what is in it, `<inode>.<birth in ns>`: the same after a restart or a rename, another after a copy.
   * Birth is 0 where the file system does not know it. '': there is no such file.
   */
  identity(path: string): Promise<string>
}
