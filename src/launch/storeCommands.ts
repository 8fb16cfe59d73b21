/** Commands of mqadmin that work on the files of a stopped broker. */
import { type Command, type CommandContext, CommandError, flag, required } from '../admin/index.ts'
import { silentLogger } from '../platform/index.ts'
import {
  type CheckPart,
  checkStore,
  planRestore,
  rebuildStore,
  restoreGroup
} from '../store/index.ts'
import { restorePlanText, storeReportText } from './storeReport.ts'

const PROGRESS_MS = 1_000
const path = required(
  'p',
  'storePathRootDir',
  'Directory of the store, as in the configuration of the broker, which must not run.'
)

/** A line now and then, beside the output. */
function shower({ platform, io }: CommandContext): (text: string) => void {
  let shownMs = platform.clock.monotonicMs()
  return text => {
    const nowMs = platform.clock.monotonicMs()
    if (nowMs - shownMs < PROGRESS_MS) return
    shownMs = nowMs
    io.stderr(`${text}\n`)
  }
}

function progressTo(context: CommandContext): (part: CheckPart, percent: number) => void {
  const show = shower(context)
  return (part, percent) => show(`reading the ${part}: ${percent} %`)
}

const checkStoreCommand: Command = {
  name: 'checkStore',
  description:
    'Read everything that a stopped broker has stored, and say what is damaged and what a start would do about it.',
  options: [
    path,
    flag('r', 'rebuild', 'Build damaged queues and key index again from the log.'),
    flag(
      'a',
      'all',
      'With -r: throw all of queues, key index and tables away and build them again. Only when the log goes back to its first entry.'
    )
  ],
  async run(context) {
    const { platform, io, args } = context
    const directory = args.need('p')
    const show = shower(context)
    if (args.has('a') && !args.has('r'))
      throw new CommandError('-a says what -r rebuilds: give both')
    if (args.has('r')) {
      const report = await rebuildStore({
        platform,
        logger: { ...silentLogger, error: text => io.stderr(`${text}\n`) },
        directory,
        everything: args.has('a'),
        progress: (index, last) => show(`applied entry ${index} of ${last}`)
      })
      context.write(
        `rebuilt: ${report.rebuiltBlocks} blocks of queues, ${report.rebuiltRuns} runs of the key index; tables and queues are as of entry ${report.appliedIndex}\n`
      )
      if (report.stoppedAt !== null) {
        context.write(
          `entry ${report.stoppedAt} of the log is damaged: the rest is applied when the node runs and a peer has given it back\n`
        )
      }
      if (report.leftBlocks + report.leftRuns > 0) {
        context.write(
          `left: ${report.leftBlocks} blocks of queues, ${report.leftRuns} runs of the key index, whose part of the log is damaged; they are built again when the node runs and a peer has repaired the log\n`
        )
      }
    }
    const report = await checkStore({ platform, directory, progress: progressTo(context) })
    context.write(storeReportText(report))
    if (!report.isWhole) throw new CommandError('the store is not whole, see above')
  }
}

const raftRestoreCommand: Command = {
  name: 'raftRestore',
  description:
    'Make a new group out of one stopped broker of a group whose other disks are gone for good. The last resort: see docs/raft.md.',
  options: [
    path,
    required('i', 'selfId', 'Id of this broker in the group, as dLegerSelfId.'),
    required(
      'a',
      'address',
      'host:port of the group’s own traffic, as for this broker in dLegerPeers.'
    ),
    flag(
      'g',
      'giveUp',
      'Give up the first damaged entry of the log and all behind it. Without it a damaged log is refused.'
    ),
    flag('y', 'confirm', 'Do it. Without it everything is only looked at and said.')
  ],
  async run(context) {
    const { platform, io, args } = context
    const directory = args.need('p')
    const selfId = args.need('i')
    const raftAddress = args.need('a')
    if (!/^\S+:\d+$/.test(raftAddress)) throw new CommandError(`-a ${raftAddress}: use host:port`)
    const progress = progressTo(context)
    const plan = await planRestore({ platform, directory, progress })
    context.write(restorePlanText(plan))
    if (plan.cutFrom !== null && !args.has('g')) {
      throw new CommandError(
        `the log is damaged from entry ${plan.cutFrom} on: with -g a new group is made from what lies before it`
      )
    }
    if (!args.has('y'))
      throw new CommandError('nothing was done: add -y when this is what you want')
    const logger = { ...silentLogger, error: (text: string) => io.stderr(`${text}\n`) }
    const group = await restoreGroup({ platform, directory, logger, selfId, raftAddress, plan })
    context.write(
      `Made the group ${group.clusterId} with the one member ${selfId}; its log ends with entry ${group.lastIndex}, term ${group.term}.\n` +
        'Start this broker; then add the others, each with an empty store: mqadmin raftAddMember. Whoever has data of the old group is refused.\n'
    )
  }
}

export const STORE_COMMANDS: readonly Command[] = [checkStoreCommand, raftRestoreCommand]
