import { readFileSync } from 'node:fs'
import { Session } from 'node:inspector'
import { fileURLToPath } from 'node:url'

import type { Depth } from './campaign.ts'

const CORE = 'raft/core'
const LOG = 'raft/log'
const NODE = 'raft/node'

/**
 * Which protocol rules (raft.md part 4) a campaign has really come to: V8 counts the blocks of the program under test, and
 * each rule names a place in it that is reached only when the rule decides something. Nothing of this is in the program.
 */
export interface Rule {
  readonly rule: string
  readonly what: string
  /** Below build/src. */
  readonly file: string
  /** Text of that branch as it is compiled; its last character is what is counted. */
  readonly at: string
  /** Where it is to be come to: some are too rare for one of the two. */
  readonly depths: readonly Depth[]
}

const CLUSTER_ONLY: readonly Depth[] = ['cluster']
const CORE_ONLY: readonly Depth[] = ['core']

/** By default both for the core, the whole cluster for the rest. */
function rule(
  name: string,
  what: string,
  file: string,
  at: string,
  depths?: readonly Depth[]
): Rule {
  const usual: readonly Depth[] = file.startsWith(CORE) ? ['cluster', 'core'] : CLUSTER_ONLY
  return { rule: name, what, file, at, depths: depths ?? usual }
}

export const RULES: readonly Rule[] = [
  rule('R-E1', 'starts with a full timeout', `${CORE}/raft.js`, 's.waitFullTimeout();'),
  rule(
    'R-E2',
    'a candidate with an older log is refused',
    `${CORE}/votes.js`,
    'VoteReason.notUpToDate'
  ),
  rule(
    'R-E3',
    'a vote is refused while a leader is heard',
    `${CORE}/votes.js`,
    'return VoteReason.hearsLeader'
  ),
  rule(
    'R-E4',
    'a second vote in a term is refused',
    `${CORE}/votes.js`,
    'return VoteReason.votedForAnother'
  ),
  rule(
    'R-E5',
    'an append of an older term is answered',
    `${CORE}/follower.js`,
    's.reply(from, answer(s, AppendResult.conflict, m.prevIndex, m.streamSeq, 0));'
  ),
  rule(
    'R-E5',
    'a leader takes over a higher term',
    `${CORE}/replies.js`,
    'becomeFollower(s, m.term, null);'
  ),
  rule(
    'R-E6',
    'a round without a winner is given up',
    `${CORE}/votes.js`,
    'becomeFollower(s, s.term, null);\n}'
  ),
  rule(
    'R-E8',
    'no campaign with a disk in trouble',
    `${CORE}/votes.js`,
    's.waitFullTimeout();\n        return;'
  ),
  rule('R-E9', 'ready when the own entry is applied', `${CORE}/commit.js`, 'role.ready = true;'),
  rule(
    'R-E10',
    'steps down without a majority',
    `${CORE}/raft.js`,
    'becomeFollower(s, s.term, null);'
  ),
  rule(
    'R-E11',
    'steps down with a damaged entry that nobody has',
    `${CORE}/transfer.js`,
    'becomeFollower(s, s.term, null);'
  ),
  rule(
    'R-L1',
    'an append that does not follow is refused',
    `${CORE}/follower.js`,
    'if (m.prevIndex > s.commitIndex)'
  ),
  rule('R-L2', 'an entry that is there is skipped', `${CORE}/follower.js`, 'proved = entry.index;'),
  rule(
    'R-L2',
    'a damaged entry is healed in place',
    `${CORE}/follower.js`,
    "s.emit({ kind: 'rewrite'"
  ),
  rule(
    'R-L3',
    'the leader searches its log by the hint',
    `${CORE}/replies.js`,
    'p.becomeProbe(Math.max(p.matchIndex + 1'
  ),
  rule(
    'R-L2',
    'a nameless entry is passed over',
    `${CORE}/follower.js`,
    'role.passedIndex = Math.max(role.passedIndex, entry.index);',
    CORE_ONLY
  ),
  rule(
    'R-L2',
    'nameless entries are cut, and the node recovers',
    `${CORE}/follower.js`,
    'forget(s, fromIndex);',
    CORE_ONLY
  ),
  rule('R-L5', 'entries in conflict are cut', `${CORE}/follower.js`, "s.emit({ kind: 'cut'"),
  rule('R-L5', 'what is cut is overwritten', `${LOG}/storageQueue.js`, 'await this.#zeroSegment('),
  rule(
    'R-C1',
    'what is no news, or of an older term, is not committed',
    `${CORE}/commit.js`,
    'termAt(index) !== s.term)\n        return;'
  ),
  rule(
    'R-C2',
    'a term begins with a no-op',
    `${CORE}/proposals.js`,
    'EntryKind.noop, ENTRY_HEADER_BYTES'
  ),
  rule(
    'R-C3',
    'a follower commits what was proved',
    `${CORE}/commit.js`,
    'Math.min(role.provedCommit'
  ),
  rule(
    'R-R1',
    'an answer of a former process is dropped',
    `${CORE}/replies.js`,
    'p.incarnation !== m.incarnation)\n        return;'
  ),
  rule('R-R2', 'a follower in trouble is paused', `${CORE}/replies.js`, 'p.result = m.result;'),
  rule('R-D1', 'the hard state has its own file', `${LOG}/hardState.js`, 'datasync()'),
  rule('R-D2', 'what a failed fsync left is written again', `${LOG}/open.js`, 'if (got > 0)'),
  rule(
    'R-D3',
    'the watermark is saved',
    `${LOG}/watermark.js`,
    'this.#hardState.update({ watermark, commit })'
  ),
  rule('R-D4', 'one fdatasync at a time', `${LOG}/storageQueue.js`, 'this.#syncing = claim;'),
  rule(
    'R-D5',
    'derived state waits for the log',
    'store/checkpoint.js',
    'await new Promise(resolve => this.#host.clock.after(DURABLE_POLL_MS, resolve))'
  ),
  rule(
    'R-D6',
    'a recovering node does not vote',
    `${CORE}/votes.js`,
    'return s.recovering ? VoteReason.recovering'
  ),
  rule(
    'R-D6',
    'recovered by a commit of the leader’s term',
    `${CORE}/commit.js`,
    's.recovering = false;'
  ),
  rule(
    'R-D6',
    'recovering after ASYNC_FLUSH lost power',
    `${LOG}/open.js`,
    "return 'the machine went down while entries"
  ),
  rule(
    'R-D6',
    'recovering after a torn record',
    `${LOG}/open.js`,
    "return 'the machine went down, and a torn"
  ),
  rule(
    'R-D6',
    'recovering when the log ends before what was acknowledged',
    `${LOG}/open.js`,
    'may have been acknowledged`'
  ),
  rule(
    'R-D6',
    'recovering remembered over a kill',
    `${LOG}/open.js`,
    "return 'it was recovering when it stopped'"
  ),
  rule(
    'R-D6w',
    'the way out: votes for the greatest log',
    `${CORE}/votes.js`,
    'if (!m.pre)\n            s.report('
  ),
  rule(
    'R-D6w',
    'the way out: campaigns with the greatest log',
    `${CORE}/votes.js`,
    'askPreVotes(s, last.index, last.term);'
  ),
  rule('R-D7', 'the first start founds the group', `${CORE}/founding.js`, 's.founders = founders;'),
  rule('R-D7', 'the cluster id is learned by a commit', `${CORE}/commit.js`, 's.clusterId = first'),
  rule(
    'R-D7',
    'who is no member is refused',
    `${CORE}/founding.js`,
    'return idIsTaken ? RefuseCode'
  ),
  rule('R-M1', 'a second change has to wait', `${CORE}/membership.js`, "refusal: 'pending'", [
    'core'
  ]),
  rule('R-M2', 'no change before an own commit', `${CORE}/membership.js`, "refusal: 'notReady'", [
    'core'
  ]),
  rule('R-M4', 'a learner has caught up', `${CORE}/membership.js`, 'const old = s.voters.find('),
  rule('R-M5', 'a leader does not remove itself', `${CORE}/membership.js`, "refusal: 'isLeader'", [
    'core'
  ]),
  rule(
    'R-M6',
    'the old disk of a wiped member goes first',
    `${CORE}/membership.js`,
    'has caught up on its new disk'
  ),
  rule(
    'R-S',
    'a follower behind the log start is offered a snapshot',
    `${CORE}/offers.js`,
    "type: 'snapshotOffer'"
  ),
  rule(
    'R-S',
    'a snapshot that is not needed is refused',
    `${CORE}/snapshots.js`,
    "tellDone(s, from, snapshotId, true, '')",
    CORE_ONLY
  ),
  rule(
    'R-S',
    'a copy takes the place of the log',
    `${CORE}/snapshots.js`,
    "s.emit({ kind: 'switchLog'"
  ),
  rule(
    'R-D8',
    'a failed write ends the node',
    `${LOG}/storageQueue.js`,
    'this.#events.failed(operation, error);'
  ),
  rule(
    'R-D9',
    'a leader with a slow disk hands over',
    `${CORE}/transfer.js`,
    'begin(s, role, p.id);'
  ),
  rule('R-D9', 'a slow disk is noticed', `${NODE}/watch.js`, 'storageSlow('),
  rule('R-D10', 'a full disk is told', `${LOG}/storageQueue.js`, 'this.#setFull(true);'),
  rule('R-D11', 'segments are prepared with zeros', `${LOG}/preparer.js`, 'Buffer.alloc('),
  rule(
    'R-T',
    'TimeoutNow leaves when the target has all',
    `${CORE}/transfer.js`,
    'transfer.sent = true;'
  ),
  rule(
    'R-T',
    'the target campaigns at once',
    `${CORE}/votes.js`,
    'startVote(s, s.log.lastIndex, s.log.lastTerm, true);'
  ),
  rule(
    '4.6',
    'a stall of the own loop is no silence',
    `${NODE}/ticker.js`,
    'this.#clock.turnEnd(() => this.#clock.turnEnd('
  ),
  rule(
    '4.6',
    'fast path: the leader’s process is gone',
    `${CORE}/founding.js`,
    'role.leaderGone = true;'
  ),
  rule(
    '4.9',
    'a bad record that may be acknowledged stays',
    `${LOG}/scanner.js`,
    'await this.#markFault(record, unit)'
  ),
  rule('4.9', 'a torn tail is cut', `${LOG}/open.js`, 'await wipe('),
  rule(
    '4.9',
    'a peer has the damaged entry',
    `${CORE}/repair.js`,
    'if (fault.headerCrc !== entry.headerCrc)'
  ),
  rule('4.9', 'a peer does not have it', `${CORE}/repair.js`, 's.repairNone.add(from);'),
  rule(
    '4.13',
    'a read is confirmed by a majority',
    `${CORE}/reads.js`,
    "s.emit({ kind: 'readReady'"
  ),
  rule(
    '4.13',
    'a read fails with its leadership',
    `${CORE}/reads.js`,
    "s.emit({ kind: 'readFailed', id: read.id"
  ),
  rule('R-A1', 'an entry that the state has is not applied again', 'store/machine.js', 'if (fresh)')
]

interface Range {
  readonly startOffset: number
  readonly endOffset: number
  readonly count: number
}

interface Script {
  readonly url: string
  readonly functions: readonly { readonly ranges: readonly Range[] }[]
}

/** Counts from its start on; must begin before the program under test is loaded. */
export class RuleCounter {
  readonly #session = new Session()
  readonly #root: string

  /** `root`: the folder with `src`, as a URL; by default the build that this file is part of. */
  constructor(root = new URL('../../', import.meta.url).href) {
    this.#root = root
    this.#session.connect()
    this.#session.post('Profiler.enable')
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  }

  /** For each rule's place, by `nameOf`, how often it was come to since the last call. */
  take(): Map<string, number> {
    const scripts = new Map<string, Script>()
    // The session answers before `post` returns.
    this.#session.post('Profiler.takePreciseCoverage', (error, answer) => {
      if (error !== null) throw error
      for (const script of answer.result) scripts.set(script.url, script)
    })
    const counts = new Map<string, number>()
    for (const entry of RULES) {
      const url = `${this.#root}src/${entry.file}`
      const offset = placeOf(entry, readFileSync(fileURLToPath(url), 'utf8'))
      const script = scripts.get(url)
      counts.set(nameOf(entry), script === undefined ? 0 : countAt(script, offset))
    }
    return counts
  }

  stop(): void {
    this.#session.disconnect()
  }
}

export function nameOf({ rule: name, what }: Rule): string {
  return `${name} ${what}`
}

/** What keeps a rule's place from being found in its file, or null. */
export function placeTrouble(
  { file, at }: Rule,
  root = new URL('../../', import.meta.url)
): string | null {
  const count = readFileSync(new URL(`src/${file}`, root), 'utf8').split(at).length - 1
  return count === 0 ? `${file} has not: ${at}` : null
}

function placeOf({ file, at }: Rule, text: string): number {
  const offset = text.indexOf(at)
  if (offset < 0) throw new Error(`${file} has not: ${at}`)
  return offset + at.length - 1
}

/** The count of the smallest block around the place. */
function countAt(script: Script, offset: number): number {
  let best: Range | null = null
  for (const { ranges } of script.functions) {
    for (const range of ranges) {
      if (range.startOffset > offset || range.endOffset <= offset) continue
      const size = range.endOffset - range.startOffset
      if (best === null || size <= best.endOffset - best.startOffset) best = range
    }
  }
  return best?.count ?? 0
}
