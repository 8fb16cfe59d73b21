import {
  RaftAnswerBody,
  RaftRequestCode,
  RaftStatusBody,
  type RemotingCommand
} from '../../protocol/index.ts'
import type { MembershipChange } from '../../raft/index.ts'
import type { Handler } from '../dispatch/handler.ts'
import { invalidParameter, success } from './refusals.ts'

/** Requests of an operator about the Raft group (docs/raft.md). Codes and fields: protocol/raftCodes.ts. */

const ID = /^[a-zA-Z0-9_]{1,32}$/
const ADDRESS = /^[^\s:;]{1,255}:\d{1,5}$/
const PRIORITY_MAX = 1000
const IDS_MAX = 16

interface RaftAnswer {
  readonly refusal: string | null
  readonly text: string
  readonly leaderId: string | null
}

function answer({ refusal, text, leaderId }: RaftAnswer): RemotingCommand {
  const body = { refusal: refusal ?? '', text, leaderId: leaderId ?? '' }
  return success(RaftAnswerBody.encode(body))
}

const raftStatus: Handler = {
  code: RaftRequestCode.RAFT_STATUS,
  needsLeader: false,
  outsideToo: true,
  handle(_request, _caller, broker) {
    const status = broker.store.status()
    const members = status.members.map(({ raftAddress, brokerAddress, ...rest }) => ({
      ...rest,
      raftAddr: raftAddress,
      brokerAddr: brokerAddress
    }))
    return success(
      RaftStatusBody.encode({
        group: status.group,
        selfId: status.selfId,
        role: status.role,
        membership: status.membership,
        term: status.term,
        leaderId: status.leaderId ?? '',
        leaderAddr: status.leaderBrokerAddress ?? '',
        configurationVersion: status.configurationVersion,
        configurationCommitted: status.configurationCommitted,
        commitIndex: status.commitIndex,
        lastIndex: status.lastIndex,
        appliedIndex: status.appliedIndex,
        durableIndex: status.durableIndex,
        trouble: status.trouble ?? '',
        members
      })
    )
  }
}

/** A sentence for what cannot be a change. */
function parseChange(fields: Record<string, string>): MembershipChange | string {
  const { op = '', id = '', raftAddr = '', priority = '' } = fields
  if (!ID.test(id)) return `id = ${id}: use a name as in dLegerSelfId, such as n3`
  if (op === 'remove') return { op, id }
  if (op !== 'add' && op !== 'update') return `op = ${op}: use add, remove or update`
  const port = Number(raftAddr.slice(raftAddr.lastIndexOf(':') + 1))
  if (raftAddr !== '' && (!ADDRESS.test(raftAddr) || port < 1 || port > 65_535))
    return `raftAddr = ${raftAddr}: use host:port of the group's own traffic, as in dLegerPeers`
  const wanted = Number(priority)
  if (!Number.isInteger(wanted) || wanted < 0 || wanted > PRIORITY_MAX)
    return `priority = ${priority}: use a whole number from 0 to ${PRIORITY_MAX}`
  return {
    op,
    id,
    raftAddress: raftAddr === '' ? null : raftAddr,
    priority: priority === '' ? null : wanted
  }
}

const changeMember: Handler = {
  code: RaftRequestCode.RAFT_CHANGE_MEMBER,
  needsLeader: true,
  async handle(request, caller, broker) {
    const change = parseChange(request.extFields ?? {})
    if (typeof change === 'string') return invalidParameter(request, change)
    broker.logger.info('A change of members is asked for', { ...change, by: caller.address })
    return answer(await broker.store.group.changeMembership(change))
  }
}

const transferLeader: Handler = {
  code: RaftRequestCode.RAFT_TRANSFER_LEADER,
  needsLeader: true,
  async handle(request, caller, broker) {
    const id = request.extFields?.['id'] ?? ''
    if (id !== '' && !ID.test(id))
      return invalidParameter(request, `id = ${id}: use a name such as n1`)
    const { selfId } = broker.store.status()
    if (id === selfId) return answer({ refusal: null, text: `${id} leads already`, leaderId: id })
    broker.logger.info('A hand-over of leadership is asked for', { id, by: caller.address })
    const { ok, reason } = await broker.store.group.handOver(id === '' ? null : id)
    const { leaderId } = broker.store.status()
    return answer(
      ok
        ? { refusal: null, text: `leadership went from ${selfId} to ${leaderId ?? id}`, leaderId }
        : { refusal: 'transferFailed', text: `${selfId} still leads: ${reason}`, leaderId }
    )
  }
}

const forceRecover: Handler = {
  code: RaftRequestCode.RAFT_FORCE_RECOVER,
  needsLeader: false,
  handle(request, caller, broker) {
    const ids = (request.extFields?.['ids'] ?? '').split(',').map(id => id.trim())
    if (ids.length > IDS_MAX || !ids.every(id => ID.test(id)))
      return invalidParameter(request, `ids = ${ids}: use names such as n1,n2`)
    broker.logger.warn('An operator declares voters gone for good', {
      ids: ids.join(),
      by: caller.address
    })
    return answer(broker.store.group.forceRecover(ids))
  }
}

export const raftAdminHandlers: readonly Handler[] = [
  raftStatus,
  changeMember,
  transferLeader,
  forceRecover
]
