import {
  AppendResult,
  type Effect,
  EntryKind,
  type Message,
  RepairAnswer,
  VoteReason
} from '../../../src/raft/core/index.ts'

/** Messages and effects as one line each, for the golden scripts. */

function nameOf(values: Record<string, number>, value: number): string {
  return Object.keys(values).find(key => values[key] === value) ?? `${value}`
}

const optional = (name: string, value: unknown, show: boolean): string =>
  show ? ` ${name}=${value}` : ''

export function showMessage(m: Message): string {
  switch (m.type) {
    case 'append':
      return (
        `append t${m.term} prev=${m.prevIndex}/t${m.prevTerm} commit=${m.commit}` +
        optional('entries', `${m.prevIndex + 1}..${m.prevIndex + m.count}`, m.count > 0) +
        optional('readSeq', m.readSeq, m.readSeq > 0) +
        ` seq=${m.streamSeq}`
      )
    case 'appendReply':
      return (
        `appendReply t${m.term} ${nameOf(AppendResult, m.result)} match=${m.match}` +
        optional('received', m.received, m.received !== m.match) +
        optional('hint', `${m.hintIndex}/t${m.hintTerm}`, m.result === AppendResult.conflict) +
        optional('readSeq', m.readSeq, m.readSeq > 0) +
        ` last=${m.lastIndex} seq=${m.streamSeq}`
      )
    case 'vote':
      return `${m.pre ? 'preVote' : 'vote'} t${m.term} last=${m.lastIndex}/t${m.lastTerm}${m.force ? ' force' : ''}`
    case 'voteReply':
      return (
        `${m.pre ? 'preVoteReply' : 'voteReply'} t${m.term} ` +
        (m.granted ? 'granted' : `refused (${nameOf(VoteReason, m.reason)})`) +
        optional('leader', m.leaderId, m.leaderId !== '') +
        optional('recovering', '', m.recovering).replace('=', '') +
        optional('damaged', '', m.damaged).replace('=', '') +
        optional('intact', `${m.intactIndex}/t${m.intactTerm}`, m.recovering || m.damaged)
      )
    case 'timeoutNow':
      return `timeoutNow t${m.term} last=${m.lastIndex}`
    case 'repair':
      return `repair ${m.index}/t${m.term} crc=${m.headerCrc}`
    case 'repairReply':
      return `repairReply ${m.index} ${nameOf(RepairAnswer, m.answer)}`
    case 'snapshotOffer':
      return `snapshotOffer t${m.term} ${m.snapshotId} up to ${m.index}/t${m.indexTerm}`
    case 'snapshotDone':
      return `snapshotDone ${m.snapshotId} ${m.ok ? 'ok' : `not taken: ${m.remark}`}`
  }
}

/** Null: of no interest in a script. */
export function showEffect(effect: Effect): string | null {
  switch (effect.kind) {
    case 'saveHardState':
      return (
        `save #${effect.seq} term=${effect.term} vote=${effect.vote ?? '-'}` +
        optional('cluster', effect.clusterId, effect.clusterId !== '')
      )
    case 'appendOwn':
      return `append own ${effect.index}/t${effect.term} ${nameOf(EntryKind, effect.entryKind)} at ${effect.positionBytes} (write ${effect.writeSeq})`
    case 'appendReceived':
      return `append received ${effect.firstIndex}..${effect.lastIndex} (write ${effect.writeSeq})`
    case 'cut':
      return `cut from ${effect.fromIndex} (write ${effect.writeSeq})${effect.forgets ? ', recovering' : ''}`
    case 'rewrite':
      return `rewrite ${effect.index} in place (write ${effect.writeSeq})`
    case 'send':
      return `-> ${effect.to} ${showMessage(effect.message)}`
    case 'readEntries':
      return `read ${effect.firstIndex}..${effect.lastIndex} for ${effect.peer}`
    case 'committed':
      return `committed ${effect.index}`
    case 'roleChanged':
      return `is ${effect.role} t${effect.term} leader=${effect.leaderId ?? '-'}${effect.ready ? ' ready' : ''}`
    case 'proposalRefused':
      return `refuses the proposal: ${effect.reason}`
    case 'readReady':
      return `read ${effect.id} ready at ${effect.index}`
    case 'readFailed':
      return `read ${effect.id} failed: ${effect.reason}`
    case 'transferEnded':
      return `transfer to ${effect.target ?? 'anyone'} ${effect.ok ? 'done' : 'failed'}: ${effect.reason}`
    case 'membershipEnded':
      return `change ${effect.requestId} ${effect.refusal === null ? 'done' : `refused (${effect.refusal})`}: ${effect.text}`
    case 'configurationChanged':
      return null
    case 'refuseHello':
      return `refuses ${effect.peer} (code ${effect.code}): ${effect.remark}`
    case 'answerRepair':
      return `answers a repair of ${effect.index} to ${effect.to}`
    case 'offerSnapshot':
      return `wants a snapshot for ${effect.peer}`
    case 'installSnapshot':
      return `copies snapshot ${effect.snapshot.snapshotId} from ${effect.from}`
    case 'dropSnapshot':
      return `drops the copy of snapshot ${effect.snapshotId}`
    case 'switchLog':
      return `changes over to snapshot ${effect.snapshot.snapshotId}`
    case 'whole':
      return 'is whole'
    case 'report':
      return `${effect.level}: ${effect.text}`
    case 'fatal':
      return `ENDS${effect.storage ? ' (storage)' : ''}: ${effect.reason}`
  }
}

/** What a summary of a longer stretch shows. */
export function isKeyEffect(effect: Effect): boolean {
  return (
    effect.kind !== 'send' &&
    effect.kind !== 'saveHardState' &&
    effect.kind !== 'appendReceived' &&
    effect.kind !== 'readEntries' &&
    effect.kind !== 'answerRepair'
  )
}
