import { asError, compareText, type RaftAnswer, type RaftStatus } from '../client/index.ts'
import {
  BROKER_OR_CLUSTER,
  type Command,
  type CommandContext,
  CommandError,
  type OptionSpec,
  required,
  UsageError,
  value
} from './command.ts'
import { format } from './format.ts'
import { pauseSeconds } from './pauses.ts'

/** The Raft group of a broker: who belongs to it, and changes of that (docs/raft.md). The original has nothing of the kind. */

const MEMBER_LINE = '%-6s  %-8s  %-13s  %-22s  %-22s  %12s  %10s  %-5s  %-8s%n'
/** Refusals that are over by themselves in a moment. */
const PASSING = ['notLeader', 'notReady', 'transferring', 'pending', 'isLeader', 'notAsked']
const PASSING_SECONDS = 15
const CATCH_UP_SECONDS = 60

const NODE_ID = (description: string): OptionSpec => required('i', 'nodeId', description)

export const raftStatus: Command = {
  name: 'raftStatus',
  description: 'Show the members of a Raft group, who leads, and how far each is',
  options: [...BROKER_OR_CLUSTER, value('r', 'interval', 'again and again, every so many seconds')],
  oneOf: ['b', 'c'],
  async run(context) {
    const seconds = context.args.whole('r', 0)
    for (;;) {
      await printStatus(context)
      if (seconds <= 0) return
      context.print('%n')
      await pauseSeconds(context.platform.clock, seconds)
    }
  }
}

async function printStatus(context: CommandContext): Promise<void> {
  const asked = context.args.get('b')
  const statuses =
    asked === null ? await groupStatuses(context) : [await context.admin.brokers.raftStatus(asked)]
  for (const [at, status] of statuses.entries()) {
    if (at > 0) context.print('%n')
    printGroup(context, status)
  }
}

/** One for each group of the cluster: its leader's if there is one, else that of any member that answers. */
async function groupStatuses(context: CommandContext): Promise<RaftStatus[]> {
  const cluster = context.args.need('c')
  const groups = await context.admin.nameServers.clusterBrokers(cluster)
  const found: RaftStatus[] = []
  for (const { brokerName: name, addresses } of groups) {
    const byId = [...addresses].sort(([a], [b]) => a - b).map(([, address]) => address)
    const failures: string[] = []
    let answer: RaftStatus | null = null
    for (const address of byId) {
      if (answer !== null) break
      answer = await context.admin.brokers.raftStatus(address).catch((error: unknown) => {
        failures.push(`${address} (${asError(error).message})`)
        return null
      })
    }
    if (answer === null) throw new CommandError(`${name}: no answer from ${failures.join(', ')}`)
    found.push(answer)
  }
  return found
}

function printGroup(context: CommandContext, status: RaftStatus): void {
  const { group, selfId, role, term, leaderId, configurationVersion, commitIndex, lastIndex } =
    status
  const open = status.configurationCommitted ? '' : ' (not committed yet)'
  const leader = leaderId === '' ? 'none' : leaderId
  context.print('#Group         %s%n', group)
  context.print('#Asked         %s, %s%n', selfId, selfText(status))
  context.print('#Leader        %s, term %s%n', leader, term)
  context.print('#Configuration %s%s%n', configurationVersion, open)
  context.print(
    '#Log           last %s, committed %s, applied here %s%n',
    lastIndex,
    commitIndex,
    status.appliedIndex
  )
  const titles = ['#Id', '#Role', '#State', '#Raft', '#Broker', '#Match', '#Lag', '#Prio', '#Disk']
  context.print(MEMBER_LINE, ...titles)
  const members = [...status.members].sort((a, b) => compareText(a.id, b.id))
  for (const member of members) {
    const knows = role === 'leader'
    context.print(
      MEMBER_LINE,
      member.id,
      member.id === leaderId && member.role === 'voter' ? 'leader' : member.role,
      memberState(member, knows, member.id === selfId),
      member.raftAddr,
      member.brokerAddr,
      knows ? member.matchIndex : '-',
      knows ? member.lagEntries : '-',
      member.priority,
      member.uid.slice(0, 8)
    )
  }
}

function memberState(
  member: RaftStatus['members'][number],
  knows: boolean,
  isSelf: boolean
): string {
  if (isSelf) return 'up'
  if (!member.connected) return 'not connected'
  return knows && !member.active ? 'silent' : 'up'
}

function selfText({ membership, role, trouble }: RaftStatus): string {
  const parts = [role]
  if (membership === 'removed') parts.push('removed from the group, serves nobody')
  else if (membership === 'waiting')
    parts.push('no member (yet): mqadmin raftAddMember makes it one')
  else if (membership === 'learner') parts.push('learner, catches up')
  if (trouble !== '') parts.push(trouble)
  return parts.join(', ')
}

/** A node of the group to ask: of `-b`, or one that answers of the only group of `-c`. */
async function groupNode(context: CommandContext): Promise<string> {
  const broker = context.args.get('b')
  if (broker !== null) return broker
  const cluster = context.args.need('c')
  const groups = await context.admin.nameServers.clusterBrokers(cluster)
  if (groups.length > 1) {
    const names = groups.map(group => group.brokerName).join(', ')
    throw new UsageError(`${cluster} has several groups (${names}): name a broker of one with -b`)
  }
  const registered = [...(groups[0]?.addresses ?? [])].sort(([a], [b]) => a - b)
  const failures: string[] = []
  for (const [, address] of registered) {
    try {
      await context.admin.brokers.raftStatus(address)
      return address
    } catch (error) {
      failures.push(`${address} (${asError(error).message})`)
    }
  }
  throw new CommandError(
    failures.length === 0
      ? `no broker of the cluster ${cluster} is registered`
      : `no answer from ${failures.join(', ')}`
  )
}

/** Asks again what only came at a bad moment: another change is under way, a leader is being found. */
async function insist(
  context: CommandContext,
  ask: () => Promise<RaftAnswer>
): Promise<RaftAnswer> {
  const { clock } = context.platform
  const deadlineMs = clock.monotonicMs() + PASSING_SECONDS * 1000
  let told = ''
  for (;;) {
    const answer = await ask()
    if (answer.refusal === '') return answer
    const passing = PASSING.includes(answer.refusal)
    if (!passing || clock.monotonicMs() > deadlineMs) throw new CommandError(answer.text)
    if (told !== answer.text) context.print('%s%n', `Waiting: ${answer.text}`)
    told = answer.text
    await pauseSeconds(clock, 1)
  }
}

export const raftAddMember: Command = {
  name: 'raftAddMember',
  description: 'Add a node that asks to join to a Raft group, and wait until it is a voter',
  options: [
    ...BROKER_OR_CLUSTER,
    NODE_ID('dLegerSelfId of the new node, which is running already'),
    value('a', 'raftAddr', 'host:port where the members reach it; default: as its own file says'),
    value('p', 'priority', 'above 0: the highest of the group leads when it can; default 0')
  ],
  oneOf: ['b', 'c'],
  async run(context) {
    const id = context.args.need('i')
    const node = await groupNode(context)
    const change = { op: 'add' as const, id, ...addressAndPriority(context) }
    const answer = await insist(context, () => context.admin.brokers.raftChangeMember(node, change))
    context.print('%s%n', answer.text)
    await untilVoter(context, node, id)
  }
}

async function untilVoter(context: CommandContext, node: string, id: string): Promise<void> {
  const { clock } = context.platform
  const deadlineMs = clock.monotonicMs() + CATCH_UP_SECONDS * 1000
  while (clock.monotonicMs() < deadlineMs) {
    const { members } = await context.admin.brokers.raftStatus(node)
    if (members.some(member => member.id === id && member.role === 'voter')) {
      context.print('%s is a voter of the group.%n', id)
      return
    }
    await pauseSeconds(clock, 1)
  }
  context.print(
    '%s%n',
    `${id} still catches up, which goes on without this command: mqadmin raftStatus shows it`
  )
}

function addressAndPriority(context: CommandContext): { raftAddr?: string; priority?: number } {
  const raftAddr = context.args.get('a')
  return {
    ...(raftAddr === null ? {} : { raftAddr }),
    ...(context.args.has('p') ? { priority: context.args.whole('p', 0) } : {})
  }
}

export const raftUpdateMember: Command = {
  name: 'raftUpdateMember',
  description: 'Change the address or the priority of a member of a Raft group',
  options: [
    ...BROKER_OR_CLUSTER,
    NODE_ID('id of the member'),
    value('a', 'raftAddr', 'host:port where the other members reach it from now on'),
    value('p', 'priority', 'above 0: the highest of the group leads when it can')
  ],
  oneOf: ['b', 'c'],
  async run(context) {
    const { args } = context
    if (!args.has('a') && !args.has('p')) throw new UsageError('give -a, -p or both')
    const node = await groupNode(context)
    const change = { op: 'update' as const, id: args.need('i'), ...addressAndPriority(context) }
    const answer = await insist(context, () => context.admin.brokers.raftChangeMember(node, change))
    context.print('%s%n', answer.text)
  }
}

export const raftRemoveMember: Command = {
  name: 'raftRemoveMember',
  description: 'Remove a node from a Raft group; a leader hands over first',
  options: [...BROKER_OR_CLUSTER, NODE_ID('id of the member, up or gone for good')],
  oneOf: ['b', 'c'],
  async run(context) {
    const id = context.args.need('i')
    const node = await groupNode(context)
    const change = { op: 'remove' as const, id }
    const answer = await insist(context, () => context.admin.brokers.raftChangeMember(node, change))
    context.print('%s%n', answer.text)
  }
}

export const raftTransferLeader: Command = {
  name: 'raftTransferLeader',
  description: 'Hand the leadership of a Raft group to another member',
  options: [
    ...BROKER_OR_CLUSTER,
    value('i', 'nodeId', 'id of the member that is to lead; default: the best follower')
  ],
  oneOf: ['b', 'c'],
  async run(context) {
    const node = await groupNode(context)
    const answer = await context.admin.brokers.raftTransferLeader(node, context.args.get('i') ?? '')
    if (answer.refusal !== '') throw new CommandError(answer.text)
    context.print('%s%n', answer.text)
  }
}

export const raftForceRecover: Command = {
  name: 'raftForceRecover',
  description: 'Let a Raft group recover without voters whose disks are gone; may lose messages',
  options: [
    required('b', 'brokerAddr', 'address of one remaining broker; ask each of them'),
    required('i', 'nodeIds', 'ids of the voters that are gone for good, by commas')
  ],
  async run(context) {
    const ids = context.args
      .need('i')
      .split(',')
      .map(id => id.trim())
    const broker = context.args.need('b')
    context.warn(
      format(
        'WARNING: messages that were acknowledged and are on the disks of %s only will be missing.',
        ids.join(', ')
      )
    )
    const answer = await context.admin.brokers.raftForceRecover(broker, ids)
    if (answer.refusal !== '') throw new CommandError(answer.text)
    context.print('%s%n', answer.text)
  }
}
