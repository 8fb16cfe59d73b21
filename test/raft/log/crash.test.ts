import t from 'tap'
import {
  type Entry,
  entryHeaderCrc,
  entryIsSound,
  type FlushMode
} from '../../../src/raft/log/index.ts'
import { generator } from '../../helpers/generator.ts'
import { MemoryDisk } from '../../helpers/memoryDisk.ts'
import { DATA, Process, readAll } from './harness.ts'

const SEEDS = Number(process.env['CRASH_SEEDS'] ?? 20)
const FIRST_SEED = Number(process.env['CRASH_SEED'] ?? 1)
const LIVES = 6

/** What the world saw of one log over its lives. */
class Book {
  /** Everything that was ever appended, by index and header CRC. */
  readonly history = new Map<string, Entry>()
  /** The log as it is in memory now. */
  current: Entry[] = []
  acknowledged = 0
  synced = 0
  first = 1
  term = 1

  cut(fromIndex: number): void {
    this.current.length = fromIndex - 1
    this.acknowledged = Math.min(this.acknowledged, fromIndex - 1)
    this.synced = Math.min(this.synced, fromIndex - 1)
  }
}

const key = (entry: Entry): string => `${entry.index}/${entryHeaderCrc(entry.bytes)}`

/** Appends, cuts, commits, releases, trims and waits as the dice say, until the disk dies or `steps` are done. */
async function live(
  process: Process,
  book: Book,
  dice: () => number,
  steps: number,
  dead: () => boolean
) {
  const { log, told } = process
  for (let step = 0; step < steps && !dead(); step++) {
    const what = dice()
    if (what < 0.5) {
      for (let i = Math.floor(dice() * 4); i >= 0; i--) {
        const size = dice() < 0.1 ? 3000 + dice() * 4000 : 1 + dice() * 600
        const entry = process.append(Math.floor(size), { term: book.term })
        book.history.set(key(entry), entry)
        book.current[entry.index - 1] = entry
      }
    } else if (what < 0.6 && log.lastIndex > log.firstIndex) {
      const lowest = Math.max(committed(process) + 1, log.firstIndex)
      const from = Math.max(lowest, log.lastIndex - Math.floor(dice() * 12))
      if (from <= log.lastIndex) {
        process.cut(from)
        book.cut(from)
        book.term += 1
      }
    } else if (what < 0.7) {
      const commit = Math.max(committed(process), Math.floor(log.writtenIndex - dice() * 4))
      log.commitTo(Math.min(commit, log.lastIndex))
      log.release(committed(process))
    } else if (what < 0.75) {
      void log.saveHardState({ term: book.term, vote: 'n1' }).catch(() => {})
    } else if (what < 0.78) {
      const [, second] = log.segments()
      if (second?.sealed && second.firstIndex > 0 && second.firstIndex <= committed(process)) {
        const trim = log.trimPrefix(second.firstIndex, second.firstPosition)
        trim.then(
          () => {
            book.first = second.firstIndex
          },
          () => {}
        )
      }
    } else {
      for (let i = Math.floor(dice() * 8); i >= 0 && !dead(); i--) await process.rest(1)
    }
    if (dead()) break
    book.acknowledged = Math.min(log.writtenIndex, log.lastIndex)
    book.synced = Math.min(log.syncedIndex, log.lastIndex)
    if (told.failures.length > 0) throw new Error(`the log failed: ${told.failures.join()}`)
  }
}

const committed = (process: Process): number => {
  // The door tells the position only; the index is kept by whoever commits.
  const { log } = process
  let index = log.lastIndex
  while (index >= log.firstIndex) {
    const entry = log.entryAt(index)
    if (entry === null || entry.position + entry.bytes.length <= log.committedPosition) break
    index -= 1
  }
  return Math.max(index, log.firstIndex - 1)
}

async function check(
  process: Process,
  disk: MemoryDisk,
  book: Book,
  promised: number
): Promise<string | null> {
  const { log } = process
  if (log.faults.size > 0) return `faults ${JSON.stringify([...log.faults.values()][0])}`
  if (log.lastIndex < promised) return `ends with ${log.lastIndex}, promised ${promised}`
  if (log.firstIndex > 1 && log.firstIndex < book.first)
    return `begins with ${log.firstIndex} again`
  const { firstPosition } = log.segments().at(-1)!
  const behind = disk
    .contents(`${DATA}/${String(firstPosition).padStart(20, '0')}`)
    .subarray(Math.max(0, log.endPosition - firstPosition))
  if (behind.some(byte => byte !== 0)) return 'something stands behind the end'
  const entries = await readAll(process)
  let crc = log.hardState.start.headerCrc
  for (const entry of entries) {
    if (!entryIsSound(entry.bytes)) return `entry ${entry.index} is damaged`
    const known = book.history.get(key(entry))
    if (known === undefined || !known.bytes.equals(entry.bytes))
      return `entry ${entry.index} is not ours`
    if (entry.bytes.readUInt32BE(44) !== crc) return `entry ${entry.index} breaks the chain`
    crc = entryHeaderCrc(entry.bytes)
    if (entry.index <= promised && key(book.current[entry.index - 1]!) !== key(entry)) {
      return `entry ${entry.index} was acknowledged with other bytes`
    }
  }
  if (entries.length !== log.lastIndex - log.firstIndex + 1) return 'entries are missing'
  for (const entry of entries) book.current[entry.index - 1] = entry
  book.current.length = log.lastIndex
  book.term = Math.max(book.term, log.lastTerm) + 1
  return null
}

async function run(seed: number, flushMode: FlushMode, power: boolean): Promise<string | null> {
  const dice = generator(seed)
  const disk = new MemoryDisk({ seed, killedAt: 'page' })
  const book = new Book()
  let boot = 1
  for (let life = 0; life < LIVES; life++) {
    const options = {
      flushMode,
      bootId: `boot-${boot}`,
      tailCacheBytes: dice() < 0.3 ? 3000 : 100_000
    }
    const process = await Process.start(disk, options)
    const found = await check(
      process,
      disk,
      book,
      flushMode === 'async' && power ? book.synced : book.acknowledged
    )
    const { recovery, hardState } = process.log
    if (found !== null) return `life ${life}: ${found}`
    if (hardState.incarnation !== life + 1)
      return `life ${life}: incarnation ${hardState.incarnation}`
    // Before the first entry nothing can have been acknowledged.
    const tookIn = process.log.lastIndex > 0 || book.acknowledged > 0
    const mustRecover = power && flushMode === 'async' && life > 0 && tookIn
    if (mustRecover !== (recovery.recovering !== null) && (mustRecover || !power)) {
      return `life ${life}: recovering is ${recovery.recovering}`
    }
    book.first = process.log.firstIndex
    if (recovery.recovering !== null) await process.wait(process.log.markWhole())
    let killed = false
    const kill = (): void => {
      killed = true
    }
    disk.killAt(1 + Math.floor(dice() * 150), kill)
    await live(process, book, dice, 80, () => killed)
    if (power) {
      disk.powerLoss('random')
      boot += 1
    } else {
      disk.kill()
    }
  }
  return null
}

for (const mode of ['sync', 'async'] as const) {
  t.test(
    `kill -9 at any operation loses nothing that was acknowledged (${mode}, ${SEEDS} seeds)`,
    async t => {
      for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
        const wrong = await run(seed, mode, false).catch(error => (error as Error).stack)
        if (wrong !== null) t.fail(`CRASH_SEED=${seed}: ${wrong}`)
      }
      t.pass('all seeds')
    }
  )
  t.test(
    `a power loss at any operation keeps what was synced (${mode}, ${SEEDS} seeds)`,
    async t => {
      for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
        const wrong = await run(seed, mode, true).catch(error => (error as Error).stack)
        if (wrong !== null) t.fail(`CRASH_SEED=${seed}: ${wrong}`)
      }
      t.pass('all seeds')
    }
  )
}
