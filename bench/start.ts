import { createRealPlatform, silentLogger } from '../src/platform/index.ts'
import { RemotingClient } from '../src/remoting/index.ts'
import { median } from './figures.ts'
import type { LedgerMq } from './ledgermq.ts'
import { LOADS, type Load, type Options } from './options.ts'
import { forgetFiles } from './pageCache.ts'
import { untilServed } from './probe.ts'
import { peakMb, residentMb, watchedProcesses } from './processes.ts'

const MIB = 1_048_576
const FILL: Load = { ...LOADS[0]!, topic: 'BenchStart', inflight: 8, batch: 32 }
const SERVE_TIMEOUT_MS = 600_000
/** The brokers are killed in the middle of this load. */
const KILL_AFTER_MS = 1_000
const KILL_LOAD_SECONDS = 600

/** One way of ending all brokers, and what starting them again took. */
export interface Start {
  name: string
  /** Of messages, on each node. */
  logMib: number
  rounds: {
    /** From the start of the three processes to the first acknowledged send. */
    servedMs: number
    /** Of each broker at that moment, and the most that it had until then. */
    residentMb: Record<string, number>
    peakMb: Record<string, number>
  }[]
}

/** Row `start`: all three brokers with a log of some size, ended cleanly or by kill -9, with the log in memory or on the disk only. */
export async function startTimes(ours: LedgerMq, options: Options): Promise<Start[]> {
  const { logMib } = options.sizes
  await ours.createTopics([FILL.topic])
  await ours.fill(FILL, (logMib * MIB) / FILL.sizeBytes)
  await ours.idle()
  const starts: Start[] = []
  for (const [ending, end] of [
    ['clean stop', () => ours.stopBrokers()],
    ['kill -9 under load', () => killUnderLoad(ours)]
  ] as const) {
    for (const cold of [false, true]) {
      const name = `${ending}, log ${cold ? 'on the disk only' : 'in memory'}`
      const start: Start = { name, logMib, rounds: [] }
      starts.push(start)
      for (let round = 0; round < options.rounds; round += 1) {
        await end()
        if (cold) await forgetFiles(ours.directory)
        start.rounds.push(await startAgain(ours))
      }
    }
  }
  return starts
}

async function killUnderLoad(ours: LedgerMq): Promise<void> {
  const timing = { seconds: KILL_LOAD_SECONDS, warmupSeconds: 0, rate: null }
  // It ends with an error when its connections break.
  const load = ours.measure(LOADS[0]!, timing).catch(() => null)
  await new Promise(resolve => setTimeout(resolve, KILL_AFTER_MS))
  await ours.killBrokers()
  await load
}

async function startAgain(ours: LedgerMq): Promise<Start['rounds'][number]> {
  const { clock, network } = createRealPlatform()
  const client = new RemotingClient({ clock, network, logger: silentLogger })
  const untilAcknowledged = async (): Promise<Start['rounds'][number]> => {
    const servedMs = await untilServed(client, ours.addresses, FILL.topic, SERVE_TIMEOUT_MS)
    const watched = watchedProcesses(await ours.pidWords()).filter(({ name }) => name !== 'load')
    const figures = (read: (pid: string) => number): Record<string, number> =>
      Object.fromEntries(watched.map(({ name, pid }) => [name, read(pid)]))
    return { servedMs, residentMb: figures(residentMb), peakMb: figures(peakMb) }
  }
  try {
    const [round] = await Promise.all([untilAcknowledged(), ours.startBrokers()])
    return round
  } finally {
    await client.close()
  }
}

export const STARTS_HEAD: readonly string[] = [
  '| start after | MiB of log | s until a send is acknowledged | least – most | MiB of a broker then | most until then |',
  '|---|---|---|---|---|---|'
]

/** One line of the table: medians of the rounds; memory of the largest broker. */
export function startLine({ name, logMib, rounds }: Start): string {
  const served = rounds.map(({ servedMs }) => servedMs / 1_000)
  const most = (memory: Record<string, number>): number => Math.max(...Object.values(memory))
  const cells = [
    name,
    logMib,
    median(served).toFixed(2),
    `${Math.min(...served).toFixed(2)} – ${Math.max(...served).toFixed(2)}`,
    median(rounds.map(round => most(round.residentMb))).toFixed(0),
    median(rounds.map(round => most(round.peakMb))).toFixed(0)
  ]
  return `| ${cells.join(' | ')} |`
}
