import { asError, type BrokerData, compareText } from '../client/index.ts'
import { type Command, type CommandContext, CommandError, flag, value } from './command.ts'
import { format } from './format.ts'
import { pauseSeconds } from './pauses.ts'

const HOUR_MS = 3_600_000
const BASE_LINE = '%-16s  %-22s  %-4s  %-22s %-16s %19s %19s %10s %5s %6s%n'
const MORE_LINE = '%-16s  %-32s %14s %14s %14s %14s%n'

type RuntimeInfo = ReadonlyMap<string, string>

export const clusterList: Command = {
  name: 'clusterList',
  description: 'Show the brokers of all clusters',
  options: [
    flag('m', 'moreStats', 'numbers of messages of yesterday and today'),
    value('i', 'interval', 'again and again, every so many seconds')
  ],
  async run(context) {
    const seconds = context.args.whole('i', 0)
    for (;;) {
      const failed = await printClusters(context)
      if (seconds <= 0) {
        if (failed.length > 0) throw new CommandError(`no answer from ${failed.join(', ')}`)
        return
      }
      context.print('%n')
      await pauseSeconds(context.platform.clock, seconds)
    }
  }
}

/** Returns what went wrong, one text for each broker that could not be asked. */
async function printClusters(context: CommandContext): Promise<readonly string[]> {
  const more = context.args.has('m')
  const failed: string[] = []
  if (more) {
    const titles = ['#InTotalYest', '#OutTotalYest', '#InTotalToday', '#OutTotalToday']
    context.print(MORE_LINE, '#Cluster Name', '#Broker Name', ...titles)
  } else {
    context.print(
      BASE_LINE,
      '#Cluster Name',
      '#Broker Name',
      '#BID',
      '#Addr',
      '#Version',
      '#InTPS(LOAD)',
      '#OutTPS(LOAD)',
      '#PCWait(ms)',
      '#Hour',
      '#SPACE'
    )
  }
  const { clusters, brokers } = await context.admin.nameServers.clusters()
  for (const [cluster, names] of clusters) {
    for (const name of [...names].sort(compareText)) {
      for (const [id, address] of sortedAddresses(brokers.get(name))) {
        const info = await infoOrNull(context, address, failed)
        if (more) context.print(MORE_LINE, cluster, name, ...dailyCounts(info))
        else context.print(BASE_LINE, cluster, name, id, address, ...baseCells(context, info))
      }
    }
  }
  return failed
}

function sortedAddresses(broker: BrokerData | undefined): [number, string][] {
  return [...(broker?.addresses ?? [])].sort(([a], [b]) => a - b)
}

/** A broker that does not answer still has its row; the reason is told when all are printed. */
async function infoOrNull(
  context: CommandContext,
  address: string,
  failed: string[]
): Promise<RuntimeInfo | null> {
  try {
    return await context.admin.brokers.runtimeInfo(address)
  } catch (error) {
    failed.push(`${address} (${asError(error).message})`)
    return null
  }
}

function dailyCounts(info: RuntimeInfo | null): number[] {
  const count = (name: string): number => Number(info?.get(name) ?? 0)
  const yesterday = (kind: string): number =>
    count(`msg${kind}TotalTodayMorning`) - count(`msg${kind}TotalYesterdayMorning`)
  const today = (kind: string): number =>
    count(`msg${kind}TotalTodayNow`) - count(`msg${kind}TotalTodayMorning`)
  return [yesterday('Put'), yesterday('Get'), today('Put'), today('Get')]
}

function baseCells(context: CommandContext, info: RuntimeInfo | null): string[] {
  if (info === null) return ['', '', '', '', '', '']
  const load = (tps: string | undefined, pool: string): string =>
    format(
      '%9.2f(%s,%sms)',
      firstNumber(tps),
      info.get(`${pool}ThreadPoolQueueSize`) ?? '0',
      info.get(`${pool}ThreadPoolQueueHeadWaitTimeMills`) ?? '0'
    )
  const earliestMs = Number(info.get('earliestMessageTimeStamp') ?? 0)
  return [
    info.get('brokerVersionDesc') ?? '',
    load(info.get('putTps'), 'send'),
    // 4.9 and 5.x spell it differently.
    load(info.get('getTransferedTps') ?? info.get('getTransferredTps'), 'pull'),
    info.get('pageCacheLockTimeMills') ?? '0',
    format('%.2f', (context.platform.clock.wallMs() - earliestMs) / HOUR_MS),
    format('%.4f', Number(info.get('commitLogDiskRatio') ?? 0))
  ]
}

function firstNumber(text: string | undefined): number {
  const first = Number(text?.trim().split(/\s+/)[0] ?? 0)
  return Number.isFinite(first) ? first : 0
}
