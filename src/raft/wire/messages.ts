/**
 * The core's messages as frames (raft.md 4.7): field tables, and the pairs that put them into
 * headers and take them out again. Entries travel behind the header as they stand on the disk.
 */
import type {
  AppendMessage,
  AppendReplyMessage,
  AppendResult,
  Message,
  RepairAnswer,
  RepairMessage,
  RepairReplyMessage,
  SnapshotDoneMessage,
  SnapshotOfferMessage,
  TimeoutNowMessage,
  VoteMessage,
  VoteReason,
  VoteReplyMessage
} from '../core/types.ts'
import { codec } from './codec.ts'
import { type Frame, WireError } from './frame.ts'
import { FrameType } from './frameType.ts'

const RESULT_MAX = 5
const REASON_MAX = 8
const ANSWER_MAX = 2

const append = codec('Append', {
  term: ['uint64', 1],
  leaderId: ['string', 2],
  prevIndex: ['uint64', 3],
  prevTerm: ['uint64', 4],
  commit: ['uint64', 5],
  count: ['uint64', 6],
  payloadBytes: ['uint64', 7],
  readSeq: ['uint64', 8],
  logStart: ['uint64', 9],
  streamSeq: ['uint64', 10],
  toIncarnation: ['uint64', 11],
  toUid: ['string', 12]
})

const appendReply = codec('AppendReply', {
  term: ['uint64', 1],
  nodeId: ['string', 2],
  result: ['uint64', 3],
  match: ['uint64', 4],
  received: ['uint64', 5],
  hintIndex: ['uint64', 6],
  hintTerm: ['uint64', 7],
  readSeq: ['uint64', 8],
  lastIndex: ['uint64', 9],
  logStart: ['uint64', 10],
  applied: ['uint64', 11],
  freePermille: ['uint64', 12],
  diskOk: ['bool', 13],
  streamSeq: ['uint64', 14],
  incarnation: ['uint64', 15],
  nodeUid: ['string', 16],
  settled: ['uint64', 17]
})

const vote = codec('Vote', {
  term: ['uint64', 1],
  candidateId: ['string', 2],
  candidateUid: ['string', 3],
  lastIndex: ['uint64', 4],
  lastTerm: ['uint64', 5],
  pre: ['bool', 6],
  force: ['bool', 7]
})

const voteReply = codec('VoteReply', {
  term: ['uint64', 1],
  voterId: ['string', 2],
  granted: ['bool', 3],
  pre: ['bool', 4],
  reason: ['uint64', 5],
  leaderId: ['string', 6],
  voterUid: ['string', 7],
  recovering: ['bool', 8],
  damaged: ['bool', 9],
  intactIndex: ['uint64', 10],
  intactTerm: ['uint64', 11]
})

const timeoutNow = codec('TimeoutNow', {
  term: ['uint64', 1],
  leaderId: ['string', 2],
  lastIndex: ['uint64', 3]
})

// headerCrc is sent plus one: 0, which is also what a missing field decodes to, says "unknown".
const repair = codec('Repair', {
  index: ['uint64', 1],
  term: ['uint64', 2],
  headerCrc: ['uint64', 3]
})

const repairReply = codec('RepairReply', {
  index: ['uint64', 1],
  answer: ['uint64', 2],
  term: ['uint64', 3],
  prevTerm: ['uint64', 4]
})

const snapshotOffer = codec('SnapshotOffer', {
  term: ['uint64', 1],
  leaderId: ['string', 2],
  snapshotId: ['string', 3],
  index: ['uint64', 4],
  indexTerm: ['uint64', 5],
  headerCrc: ['uint64', 6]
})

const snapshotDone = codec('SnapshotDone', {
  snapshotId: ['string', 1],
  ok: ['bool', 2],
  remark: ['string', 3]
})

export interface EncodedMessage {
  type: number
  header: Uint8Array
}

export function encodeMessage(message: Message): EncodedMessage {
  switch (message.type) {
    case 'append':
      return { type: FrameType.append, header: append.encode(message) }
    case 'appendReply':
      return { type: FrameType.appendReply, header: appendReply.encode(message) }
    case 'vote':
      return { type: FrameType.vote, header: vote.encode(message) }
    case 'voteReply':
      return { type: FrameType.voteReply, header: voteReply.encode(message) }
    case 'timeoutNow':
      return { type: FrameType.timeoutNow, header: timeoutNow.encode(message) }
    case 'repair': {
      const { index, term, headerCrc } = message
      const header = repair.encode({ index, term, headerCrc: headerCrc + 1 })
      return { type: FrameType.repair, header }
    }
    case 'repairReply':
      return { type: FrameType.repairReply, header: repairReply.encode(message) }
    case 'snapshotOffer':
      return { type: FrameType.snapshotOffer, header: snapshotOffer.encode(message) }
    case 'snapshotDone':
      return { type: FrameType.snapshotDone, header: snapshotDone.encode(message) }
  }
}

/** Null: a type that this version does not know. Throws WireError. */
export function decodeMessage(frame: Frame): Message | null {
  switch (frame.type) {
    case FrameType.append: {
      const message = append.decode(frame.header)
      if (message.payloadBytes !== frame.payload.length) {
        throw new WireError(
          `Append of ${message.payloadBytes} bytes came with ${frame.payload.length}`
        )
      }
      return { type: 'append', ...message } satisfies AppendMessage
    }
    case FrameType.appendReply: {
      const message = appendReply.decode(frame.header)
      const result = within(message.result, RESULT_MAX, 'AppendReply.result') as AppendResult
      return { type: 'appendReply', ...message, result } satisfies AppendReplyMessage
    }
    case FrameType.vote:
      return { type: 'vote', ...vote.decode(frame.header) } satisfies VoteMessage
    case FrameType.voteReply: {
      const message = voteReply.decode(frame.header)
      const reason = within(message.reason, REASON_MAX, 'VoteReply.reason') as VoteReason
      return { type: 'voteReply', ...message, reason } satisfies VoteReplyMessage
    }
    case FrameType.timeoutNow:
      return {
        type: 'timeoutNow',
        ...timeoutNow.decode(frame.header)
      } satisfies TimeoutNowMessage
    case FrameType.repair: {
      const { index, term, headerCrc } = repair.decode(frame.header)
      within(headerCrc, 0x1_0000_0000, 'Repair.headerCrc')
      return { type: 'repair', index, term, headerCrc: headerCrc - 1 } satisfies RepairMessage
    }
    case FrameType.repairReply: {
      const message = repairReply.decode(frame.header)
      const answer = within(message.answer, ANSWER_MAX, 'RepairReply.answer') as RepairAnswer
      return { type: 'repairReply', ...message, answer } satisfies RepairReplyMessage
    }
    case FrameType.snapshotOffer:
      return {
        type: 'snapshotOffer',
        ...snapshotOffer.decode(frame.header)
      } satisfies SnapshotOfferMessage
    case FrameType.snapshotDone:
      return {
        type: 'snapshotDone',
        ...snapshotDone.decode(frame.header)
      } satisfies SnapshotDoneMessage
    default:
      return null
  }
}

function within(value: number, max: number, name: string): number {
  if (value > max) throw new WireError(`${name} is ${value}, known are 0 to ${max}`)
  return value
}
