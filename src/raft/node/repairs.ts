import type { RepairReplyMessage } from '../core/index.ts'
import { RepairAnswer } from '../core/index.ts'
import { type Entry, entryHeaderCrc, type RaftLog } from '../log/index.ts'

export interface RepairQuestion {
  to: string
  index: number
  /** -1: not known to the asker. */
  headerCrc: number
  asLeader: boolean
  term: number
  prevTerm: number
}

/**
 * Answers a peer that lost an entry to damage: with the own one, if it is whole (raft.md 4.9). The leader's entry is that of its
 * term only while it leads: when the read is over, another leader's may stand there.
 */
export async function answerRepair(
  log: Pick<RaftLog, 'readEntries'>,
  question: RepairQuestion,
  leadsStill: () => boolean,
  send: (to: string, message: RepairReplyMessage, entries: readonly Entry[]) => void
): Promise<void> {
  const { to, index, headerCrc, asLeader, term, prevTerm } = question
  // What cannot be read whole is not had: damage was reported by the log itself.
  const entries = await log.readEntries(index, 1).catch(() => [])
  const entry = entries[0]
  const exact = entry !== undefined && entryHeaderCrc(entry.bytes) === headerCrc
  const answer = exact
    ? RepairAnswer.have
    : entry !== undefined && asLeader && leadsStill()
      ? RepairAnswer.leaders
      : RepairAnswer.none
  const behind = answer === RepairAnswer.none || entry === undefined ? [] : [entry]
  send(to, { type: 'repairReply', index, answer, term, prevTerm }, behind)
}
