import { type FuzzReport, mib } from './fuzzRun.ts'

const MIB = 1_048_576
/** What the victim may hold more at the end than when it was warm: messages' indexes, topics, groups, offsets. */
const HEAP_GROWTH_MAX = 96 * MIB
const RSS_MAX = 900 * MIB
/** Log lines are for people: what strangers provoke is gathered. Topics and groups made are a line each. */
const WARN_LINES_PER_SECOND_MAX = 60
const LOG_BYTES_PER_LINE_MAX = 2_000

/** What is wrong with a run, in words; empty when nothing is. */
export function judge({ findings, health, warm, end, seconds }: FuzzReport): string[] {
  const complaints = [...findings.complaints, ...health.complaints]
  const { lines, logBytes } = end
  if (end.errors.length > 0) complaints.push(`log lines of level error: ${end.errors.join('\n')}`)
  if (lines.warn > WARN_LINES_PER_SECOND_MAX * Math.max(10, seconds))
    complaints.push(`${lines.warn} warnings: ${end.warnings.join('\n')}`)
  const others = lines.info + lines.warn + lines.error
  if (logBytes > others * LOG_BYTES_PER_LINE_MAX)
    complaints.push(`${logBytes} bytes in ${others} log lines`)
  if (end.heapBytes - warm.heapBytes > HEAP_GROWTH_MAX)
    complaints.push(`the heap grew from ${mib(warm.heapBytes)} to ${mib(end.heapBytes)}`)
  if (end.rssBytes > RSS_MAX) complaints.push(`rss is ${mib(end.rssBytes)}`)
  if (!end.ready) complaints.push('the broker does not lead any more')
  if (findings.answers === 0) complaints.push('nothing was answered: the fuzzer did not reach it')
  return complaints
}
