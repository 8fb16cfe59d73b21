import { open, readdir, rm, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import type { Seeded } from './seeded.ts'

/** What is done to the files of a node that is down. */
export const HARMS = [
  'flip-log',
  'zero-log',
  'shorten-log',
  'index',
  'hardstate',
  'acknowledged',
  'queues',
  'state',
  'wipe'
] as const
export type Harm = (typeof HARMS)[number]

/** A sector that a disk gives back empty. */
const BLOCK_BYTES = 4096
const READ_BYTES = 1_048_576
const HARD_STATE_FILES = ['raft/hardstate', 'raft/hardstate.copy']
const MARK_FILE = 'raft/acknowledged'
const MARK_BYTES = 16
/** Each of the two has two slots of this size; one of all is harmed. */
const SLOT_BYTES = 4096
/** Used part of a slot that is sure to be there. */
const SLOT_USED_BYTES = 96
/** How much of a log's end goes at most. */
const SHORTEN_BYTES_MAX = 65_536

/** Harms the store; resolves to what was done, for the log of the run. */
export async function harmStore(
  harm: Harm,
  store: string,
  logFolders: readonly string[],
  random: Seeded
): Promise<string> {
  switch (harm) {
    case 'flip-log':
    case 'zero-log':
    case 'shorten-log': {
      const files = await filesOf(store, logFolders)
      return harmLog(harm, files, random)
    }
    case 'index':
      return harmDerived(await filesOf(store, ['raft/index']), random)
    case 'hardstate': {
      const at = random.below(2) * SLOT_BYTES + random.below(SLOT_USED_BYTES)
      return flip(join(store, random.pick(HARD_STATE_FILES)), at, random)
    }
    case 'acknowledged':
      return flip(join(store, MARK_FILE), random.below(MARK_BYTES), random)
    case 'queues':
      return harmDerived(await filesOf(store, ['consumequeue', 'index']), random)
    case 'state':
      return harmDerived(await filesOf(store, ['state']), random)
    case 'wipe': {
      // The disk itself may be mounted there.
      for (const name of await readdir(store)) await rm(join(store, name), { recursive: true })
      return 'the disk is empty'
    }
  }
}

async function harmLog(
  harm: 'flip-log' | 'zero-log' | 'shorten-log',
  files: readonly string[],
  random: Seeded
): Promise<string> {
  const written: { file: string; bytes: number }[] = []
  for (const file of files) {
    const bytes = await writtenBytes(file)
    if (bytes > 0) written.push({ file, bytes })
  }
  const last = written.at(-1)
  if (last === undefined) return 'nothing was written yet'
  if (harm === 'shorten-log') {
    const bytes = Math.max(
      1,
      last.bytes - 1 - random.below(Math.min(last.bytes, SHORTEN_BYTES_MAX))
    )
    await truncate(last.file, bytes)
    return `${last.file} has ${bytes} of ${last.bytes} written bytes`
  }
  const { file, bytes } = random.pick(written)
  const at = random.below(bytes)
  if (harm === 'flip-log') return flip(file, at, random)
  const start = at - (at % BLOCK_BYTES)
  const handle = await open(file, 'r+')
  await handle.write(Buffer.alloc(BLOCK_BYTES), 0, BLOCK_BYTES, start)
  await handle.close()
  return `${BLOCK_BYTES} bytes from ${start} on are zero in ${file}`
}

async function harmDerived(files: readonly string[], random: Seeded): Promise<string> {
  const filled: { file: string; bytes: number }[] = []
  for (const file of files) {
    const bytes = (await stat(file)).size
    if (bytes > 0) filled.push({ file, bytes })
  }
  if (filled.length === 0) return 'there is no such file yet'
  const { file, bytes } = random.pick(filled)
  switch (random.below(3)) {
    case 0:
      return flip(file, random.below(bytes), random)
    case 1: {
      const left = random.below(bytes)
      await truncate(file, left)
      return `${file} has ${left} of ${bytes} bytes`
    }
    default:
      await rm(file)
      return `${file} is gone`
  }
}

async function flip(file: string, at: number, random: Seeded): Promise<string> {
  const bit = random.below(8)
  const handle = await open(file, 'r+')
  const byte = Buffer.alloc(1)
  await handle.read(byte, 0, 1, at)
  byte[0]! ^= 1 << bit
  await handle.write(byte, 0, 1, at)
  await handle.close()
  return `bit ${bit} of byte ${at} is flipped in ${file}`
}

/** Files below these folders, sorted; a log's names are the positions where they begin. Spare ones hold nothing yet. */
async function filesOf(store: string, folders: readonly string[]): Promise<string[]> {
  const found: string[] = []
  for (const folder of folders) {
    const path = join(store, folder)
    const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => [])
    for (const entry of entries) {
      if (entry.isFile() && !entry.name.startsWith('spare') && entry.name !== 'LOCK')
        found.push(join(entry.parentPath, entry.name))
    }
  }
  return found.sort((a, b) => (a < b ? -1 : 1))
}

/** Segments are zero behind what was written. */
async function writtenBytes(file: string): Promise<number> {
  const handle = await open(file, 'r')
  const { size } = await handle.stat()
  const buffer = Buffer.alloc(READ_BYTES)
  let written = 0
  for (let end = size; end > 0 && written === 0; ) {
    const start = Math.max(0, end - READ_BYTES)
    await handle.read(buffer, 0, end - start, start)
    for (let at = end - start - 1; at >= 0; at -= 1) {
      if (buffer[at] === 0) continue
      written = start + at + 1
      break
    }
    end = start
  }
  await handle.close()
  return written
}
