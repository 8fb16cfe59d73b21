import type { Case } from './cases.ts'
import { medianOf } from './figures.ts'
import type { LedgerMq } from './ledgermq.ts'
import { LOADS, type Load, type Options, type RowName, type Timing } from './options.ts'
import { forgetFiles } from './pageCache.ts'
import { takeTurns } from './rounds.ts'
import type { Report } from './window.ts'

const MIB = 1_048_576
const [SENDS] = LOADS as [Load]
/** What is read by those rows that read what was sent long before. */
const BACKLOG: Load = { ...SENDS, topic: 'BenchRead', inflight: 8, batch: 32 }
/** The reader begins before the sends count, and is there until they end. */
const READER_LEAD_SECONDS = 1

/** Fills the topic that is read, once. */
export async function fillBacklog(ours: LedgerMq, { sizes }: Options): Promise<void> {
  await ours.createTopics([BACKLOG.topic])
  await ours.fill(BACKLOG, (sizes.readMib * MIB) / BACKLOG.sizeBytes)
  await ours.idle()
}

/** Row `backlog-read`: the whole backlog, once from memory, once from the disk. */
export async function readBacklog(
  ours: LedgerMq,
  sends: Report[],
  options: Options
): Promise<Case[]> {
  const base = caseOf('backlog-read', ours, `sends, ${SENDS.name}`, sends, null)
  let keptBytes: number | null = 0
  const measures = [
    async (): Promise<Report> => {
      // What the round before has had forgotten is read back first.
      await ours.consume(BACKLOG)
      return ours.consume(BACKLOG)
    },
    async (): Promise<Report> => {
      keptBytes = await forgetFiles(ours.directory)
      return ours.consume(BACKLOG)
    }
  ]
  const [cached, cold] = await takeTurns(options.rounds, [ours], measures)
  const kept = keptBytes === null ? 'unknown how much' : `${Math.round(keptBytes / MIB)} MiB`
  return [
    base,
    caseOf('backlog-read', ours, 'read from memory', cached!, base),
    caseOf('backlog-read', ours, `read from the disk (${kept} still in memory)`, cold!, base)
  ]
}

/** Row `read-during`: sends at half of their maximum, alone and beside four connections that read. */
export async function readDuring(
  ours: LedgerMq,
  sends: Report[],
  options: Options
): Promise<Case[]> {
  const rate = Math.round(medianOf(sends, report => report.messagesPerSecond) / 2)
  const timing = { ...timingOf(options), rate }
  const readers: [string, Load, string][] = [
    ['beside readers of what comes', SENDS, 'follow'],
    ['beside readers of the backlog, as fast as they can', BACKLOG, 'again']
  ]
  const reads = readers.map((): Report[] => [])
  const measures = [
    () => ours.measure(SENDS, timing),
    ...readers.map(([, load, mode], i) => async () => {
      const { sent, read } = await both(ours, timing, load, ['--mode', mode])
      reads[i]!.push(read)
      return sent
    })
  ]
  const [alone, ...beside] = await takeTurns(options.rounds, [ours], measures)
  const base = caseOf('read-during', ours, `sends at ${rate}/s alone`, alone!, null)
  return [
    base,
    ...readers.flatMap(([name], i) => [
      caseOf('read-during', ours, `sends at ${rate}/s ${name}`, beside[i]!, base),
      caseOf('read-during', ours, `what these read`, reads[i]!, null)
    ])
  ]
}

/** Row `groups`: sends as fast as they are taken, alone and with consumer groups that each get all of them. */
export async function sendToGroups(
  ours: LedgerMq,
  { rounds, sizes, ...options }: Options
): Promise<Case[]> {
  const timing = timingOf(options)
  const reads: Report[] = []
  const measures = [
    () => ours.measure(SENDS, timing),
    async () => {
      const follow = ['--mode', 'follow', '--groups', String(sizes.groups)]
      const { sent, read } = await both(ours, timing, SENDS, follow)
      reads.push(read)
      return sent
    }
  ]
  const [alone, consumed] = await takeTurns(rounds, [ours], measures)
  const base = caseOf('groups', ours, 'sends without consumers', alone!, null)
  return [
    base,
    caseOf('groups', ours, `sends with ${sizes.groups} groups`, consumed!, base),
    caseOf('groups', ours, 'what all groups read', reads, null)
  ]
}

/** Sends and reads at the same time, each by a process of its own. */
async function both(
  ours: LedgerMq,
  timing: Timing,
  load: Load,
  mode: readonly string[]
): Promise<{ sent: Report; read: Report }> {
  const { seconds, warmupSeconds } = timing
  const times = ['--seconds', `${seconds}`, '--warmup', `${warmupSeconds + READER_LEAD_SECONDS}`]
  const [sent, read] = await Promise.all([
    ours.measure(SENDS, { ...timing, warmupSeconds: warmupSeconds + READER_LEAD_SECONDS }),
    ours.consume(load, [...mode, ...times])
  ])
  return { sent, read }
}

function timingOf({ seconds, warmupSeconds }: Pick<Options, 'seconds' | 'warmupSeconds'>): Timing {
  return { seconds, warmupSeconds, rate: null }
}

function caseOf(
  row: RowName,
  { name: system }: LedgerMq,
  name: string,
  reports: Report[],
  base: Case | null
): Case {
  return { row, system, name, reports, base }
}
