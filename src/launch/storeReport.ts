/** What checkStore prints: a line for each file, and under it what is wrong and what a start would do about it. */
import type {
  Fault,
  LogInspection,
  RestorePlan,
  SegmentReport,
  StoreReport
} from '../store/index.ts'

/** Lines for the faults of one file. */
const FAULTS_SHOWN_MAX = 20

export function storeReportText(report: StoreReport): string {
  const lines: string[] = []
  if (report.log === null) {
    lines.push(`log: a start would refuse it: ${report.logProblem}`)
  } else {
    describeLog(report.log, lines)
  }
  describeState(report, lines)
  lines.push(report.isWhole ? 'The store is whole.' : 'The store is NOT whole.')
  return `${lines.join('\n')}\n`
}

/** What a new group would have, and what of the old one may be missing in it. */
export function restorePlanText(plan: RestorePlan): string {
  const { firstIndex, lastIndex, lastTerm, knownCommit, doubt, faults, cutFrom } = plan
  const kept = cutFrom === null ? lastIndex : cutFrom - 1
  const lines = [
    'A NEW GROUP FROM ONE NODE. What the other disks had and this one has not is lost:',
    `  this log has entries ${firstIndex} to ${lastIndex}, last term ${lastTerm}; up to ${knownCommit} they are known to be committed`,
    `  messages that were acknowledged behind entry ${lastIndex}, while this node was away or behind, are MISSING, and nothing here can say whether there are any`
  ]
  if (lastIndex > knownCommit) {
    lines.push(
      `  entries ${knownCommit + 1} to ${lastIndex} may never have been acknowledged; they count from now on`
    )
  }
  if (doubt !== null) lines.push(`  the end of the log is in doubt: ${doubt}`)
  if (cutFrom !== null) {
    lines.push(
      `  ${faults.length} entries are damaged, and no other disk can give them back:`,
      ...faults.slice(0, FAULTS_SHOWN_MAX).map(fault => `    ${faultText(fault)}`),
      `  entries ${cutFrom} to ${lastIndex} are GIVEN UP (${lastIndex - cutFrom + 1} entries, those behind the damage too, for queue offsets must have no holes)`
    )
    if (knownCommit >= cutFrom) {
      lines.push(
        `  of them ${knownCommit - cutFrom + 1} are known to be committed: their messages are LOST`
      )
    }
  }
  lines.push(`  the new group has entries ${firstIndex} to ${kept}`)
  return `${lines.join('\n')}\n`
}

function describeLog(log: LogInspection, lines: string[]): void {
  const { hardState, recovery } = log
  if (hardState === null) lines.push('hard state: none, the node never ran')
  else {
    const { term, vote, uid, clusterId, incarnation, watermark, commit, start } = hardState
    lines.push(
      `hard state: term ${term}, vote ${vote || 'none'}, uid ${uid}, cluster ${clusterId || 'not known yet'}, start number ${incarnation}`,
      `  on the disk for sure up to entry ${watermark}, known to be committed up to ${commit}, log start behind entry ${start.index} at ${start.position}`,
      `  the last stop was ${hardState.clean ? 'orderly' : 'not orderly'}${hardState.recovering ? ', while recovering' : ''}`
    )
  }
  for (const segment of log.segments) describeSegment(segment, lines)
  lines.push(
    `log: entries ${log.firstIndex} to ${log.lastIndex}, last term ${log.lastTerm}, ends at ${log.endPosition}`
  )
  if (recovery.cutFrom > 0) {
    lines.push(
      `  what follows entry ${recovery.cutFrom - 1} is torn: a start cuts it, it was never acknowledged or is fetched from the group`
    )
  }
  if (recovery.recovering !== null) {
    lines.push(
      `  a start neither votes nor campaigns at first: ${recovery.recovering}; it ends when the node has followed a leader up to its commit`
    )
  }
  if (log.badUnits > 0) {
    lines.push(
      `  ${log.badUnits} units of the index are damaged: they are written again from their entries`
    )
  }
  for (const name of log.strange)
    lines.push(`  raft/${name} does not belong there; a start leaves it alone`)
}

function describeSegment(segment: SegmentReport, lines: string[]): void {
  const { name, entries, firstIndex, lastIndex, firstTerm, lastTerm, messages, usedBytes } = segment
  lines.push(
    entries === 0
      ? `segment ${name}: no entries`
      : `segment ${name}: ${entries} entries ${firstIndex} to ${lastIndex}, terms ${firstTerm} to ${lastTerm}, ${messages} messages, ${usedBytes} bytes`
  )
  for (const fault of segment.faults.slice(0, FAULTS_SHOWN_MAX)) lines.push(`  ${faultText(fault)}`)
  const more = segment.faults.length - FAULTS_SHOWN_MAX
  if (more > 0) lines.push(`  and ${more} more damaged entries`)
}

function faultText({ index, position, sizeBytes, term, headerCrc }: Fault): string {
  const size = sizeBytes === null ? '' : `, ${sizeBytes} bytes`
  const known =
    headerCrc === null
      ? 'unknown: the leader gives what it has at this index'
      : `known${term === null ? '' : `, term ${term}`}: any member that has it gives it back`
  return `entry ${index} at ${position}${size} is damaged; its identity is ${known}`
}

function describeState({ log, state, derived }: StoreReport, lines: string[]): void {
  if (state.isEmpty) lines.push('state: none, a start applies the log from its beginning')
  else {
    lines.push(`state: ${state.tables} tables, ${state.bytes} bytes`)
    for (const fault of state.faults) lines.push(`  ${fault}`)
    if (state.faults.length > 0) {
      lines.push('  a start puts it aside and builds it again, with all queues, from the log')
    }
    if (state.cut !== null) {
      lines.push(
        `  ${state.cut.name} has a bad record at byte ${state.cut.atBytes}: a start cuts it there and applies what followed again`
      )
    }
  }
  if (derived === null) return
  const damaged = derived.queues.filter(queue => queue.damagedBlocks.length > 0)
  const units = derived.queues.reduce(
    (sum, { minOffset, maxOffset }) => sum + maxOffset - minOffset,
    0
  )
  lines.push(
    `queues: ${derived.queues.length} with ${units} messages, as of entry ${derived.appliedIndex}`
  )
  for (const { topic, queueId, blocks, damagedBlocks } of damaged) {
    const shown = damagedBlocks.slice(0, FAULTS_SHOWN_MAX).join(' ')
    lines.push(
      `  ${topic}/${queueId}: ${damagedBlocks.length} of ${blocks} blocks are damaged or missing, beginning with units ${shown}; they are built again from the log`
    )
  }
  if (log !== null && derived.appliedIndex > log.lastIndex) {
    lines.push(
      `  that is ahead of the log: a start throws queues, key index and tables away and builds them again`
    )
  }
  const runs = derived.runs.filter(run => !run.isWhole)
  lines.push(`key index: ${derived.runs.length} runs`)
  for (const { run } of runs) {
    lines.push(
      `  run ${run.sequence} of ${run.records} keys is damaged or missing; it is built again from the log`
    )
  }
}
