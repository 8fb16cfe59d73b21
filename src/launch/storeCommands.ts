/** Commands of mqadmin that work on the files of a stopped broker. */
import { type Command, CommandError, flag, required } from '../admin/index.ts'
import { silentLogger } from '../platform/index.ts'
import { type CheckPart, checkStore, rebuildStore } from '../store/index.ts'
import { storeReportText } from './storeReport.ts'

const PROGRESS_MS = 1_000
const path = required(
  'p',
  'storePathRootDir',
  'Directory of the store, as in the configuration of the broker, which must not run.'
)

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
    let shownMs = 0
    const show = (text: string): void => {
      const nowMs = platform.clock.monotonicMs()
      if (nowMs - shownMs < PROGRESS_MS) return
      shownMs = nowMs
      io.stderr(`${text}\n`)
    }
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
    const progress = (part: CheckPart, percent: number): void =>
      show(`reading the ${part}: ${percent} %`)
    const report = await checkStore({ platform, directory, progress })
    context.write(storeReportText(report))
    if (!report.isWhole) throw new CommandError('the store is not whole, see above')
  }
}

export const STORE_COMMANDS: readonly Command[] = [checkStoreCommand]
