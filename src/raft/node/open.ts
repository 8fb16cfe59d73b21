import { defaultLimits, defaultTimings, type LogFacts, Raft } from '../core/index.ts'
import { openLog, type RaftLog } from '../log/index.ts'
import {
  type ProposalSource,
  type RaftNode,
  type RaftOptions,
  RaftStartError,
  type RaftTimings,
  type StateMachine
} from '../types.ts'
import { decodeConfiguration, encodeConfiguration } from '../wire/index.ts'
import { coreFault } from './faults.ts'
import { reportContradictions } from './peers.ts'
import { Node } from './raftNode.ts'

const CLUSTER_ID_BYTES = 16
const SEED_LIMIT = 2 ** 32
/** The log charges each cached entry this much beside its bytes. */
const CACHE_SHARE_PER_ENTRY_BYTES = 1024

const WARM = { warm: true, bytesPerSecond: 512 * 1024 * 1024 }
const TRANSPORT_TIMINGS = { reconnectMinMs: 20, reconnectMaxMs: 500, connectTimeoutMs: 1000 }

/**
 * Opens the log below `options.directory`, recovers it, and makes a node that has not voted,
 * listened or connected yet. Rejects with RaftStartError when the options, the directory or the
 * state machine's `appliedIndex` do not fit; the message says what to do.
 */
export async function openRaft(
  options: RaftOptions,
  source: ProposalSource,
  machine: StateMachine
): Promise<RaftNode> {
  checkOptions(options)
  const { platform, logger } = options
  const timings: RaftTimings = { ...defaultTimings, ...TRANSPORT_TIMINGS, ...options.timings }
  const log = await openLog({
    disk: platform.disk,
    clock: platform.clock,
    random: platform.random,
    logger,
    directory: options.directory,
    segmentBytes: options.segmentBytes,
    flushMode: options.flushMode,
    flushIntervalMs: options.flushIntervalMs,
    ...(options.warmSegments === true ? { prepare: WARM } : {}),
    tailCacheBytes: options.tailCacheBytes,
    blocks: platform.blocks,
    bootId: await platform.host.bootId()
  })
  try {
    checkApplied(options, log)
    const core = makeCore(options, timings, log)
    checkOwner(options, core)
    checkState(options, core)
    if (core.configuration !== null)
      reportContradictions(core.configuration.members, options.peers, logger)
    return new Node({ options, timings, core, log, source }, machine)
  } catch (error) {
    await log.close({ orderly: false })
    throw error
  }
}

function makeCore(options: RaftOptions, timings: RaftTimings, log: RaftLog): Raft {
  const { selfId, peers, platform, preferredLeaderId, segmentBytes, appliedIndex } = options
  const { hardState, recovery } = log
  const raftAddresses = new Map(peers.map(peer => [peer.id, `${peer.host}:${peer.port}`]))
  return new Raft({
    selfId,
    selfUid: hardState.uid,
    incarnation: hardState.incarnation,
    peers: peers.map(({ id }) => ({
      id,
      raftAddress: raftAddresses.get(id)!,
      brokerAddress: id === selfId ? options.brokerAddress : ''
    })),
    preferredLeaderId,
    segmentBytes,
    seed: platform.random.below(SEED_LIMIT),
    newClusterId: platform.random.bytes(CLUSTER_ID_BYTES).toString('hex'),
    configurationBodyBytes: configuration => encodeConfiguration(configuration).length,
    hardState: {
      term: hardState.term,
      vote: hardState.vote === '' ? null : hardState.vote,
      founders:
        hardState.founders.length === 0
          ? null
          : hardState.founders.map(({ id, uid }) => ({
              id,
              uid,
              role: 'voter',
              raftAddress: raftAddresses.get(id) ?? '',
              brokerAddress: '',
              priority: 0
            })),
      clusterId: hardState.clusterId
    },
    log: logFacts(log),
    knownCommit: Math.max(hardState.commit, appliedIndex),
    appliedIndex,
    recovering: recovery.recovering !== null,
    timings,
    limits: {
      tailBytes: Math.floor((options.tailCacheBytes * 3) / 4),
      tailEntries: Math.min(
        defaultLimits.tailEntries,
        Math.max(1, Math.floor(options.tailCacheBytes / CACHE_SHARE_PER_ENTRY_BYTES))
      )
    }
  })
}

function logFacts(log: RaftLog): LogFacts {
  return {
    firstIndex: log.firstIndex,
    startTerm: log.hardState.start.term,
    lastIndex: log.lastIndex,
    terms: log.recovery.terms,
    nextPositionBytes: log.endPosition,
    configurations: log.known.inLog.map(({ index, body }) => ({
      index,
      configuration: decodeConfiguration(body)
    })),
    lostConfigurations: log.known.lost.map(({ body }) => decodeConfiguration(body)),
    faults: [...log.faults.values()].sort((a, b) => a.index - b.index).map(coreFault)
  }
}

function checkOptions(options: RaftOptions): void {
  const ids = options.peers.map(peer => peer.id)
  const twice = ids.find((id, at) => ids.indexOf(id) !== at)
  if (twice !== undefined) throw new RaftStartError('options', `peer ${twice} is listed twice`)
  if (!ids.includes(options.selfId)) {
    throw new RaftStartError(
      'options',
      `this node's id ${options.selfId} is not among the peers ${ids.join(', ')}`
    )
  }
  const preferred = options.preferredLeaderId
  if (preferred !== null && !ids.includes(preferred)) {
    throw new RaftStartError('options', `the preferred leader ${preferred} is not among the peers`)
  }
}

/** R-D5 keeps the state behind the log; whatever broke that rule, the state cannot be trusted. */
function checkApplied({ appliedIndex }: RaftOptions, log: RaftLog): void {
  if (appliedIndex > log.lastIndex) {
    throw new RaftStartError(
      'appliedBeyondLog',
      `the state was applied up to entry ${appliedIndex}, the log ends with ${log.lastIndex}: ` +
        'the log lost its tail, so the state has to be built anew from the log'
    )
  }
}

/** Raft.md 4.9: the log is whole, so the node votes and acknowledges; what it lacks a leader gives it. */
function checkState({ appliedIndex, selfId, logger }: RaftOptions, core: Raft): void {
  if (!core.lacksState) return
  const text = `the state was applied up to entry ${appliedIndex}, the log begins with ${core.firstIndex}: what is between is gone here`
  if (!core.possibleMembers.some(({ id }) => id !== selfId)) {
    throw new RaftStartError(
      'stateBehindLog',
      `${text}, and there is no other member that has it. Put a backup of the whole directory back`
    )
  }
  logger.error(`${text}. It serves nobody until it has got a snapshot from a leader`)
}

/** R-D7: two disks were exchanged, or one was copied. Neither id may go on with what the other promised. */
function checkOwner({ selfId, directory }: RaftOptions, core: Raft): void {
  const members = core.configuration?.members ?? []
  const { nodeUid } = core.hello()
  const owners = members.filter(({ uid }) => uid === nodeUid).map(({ id }) => id)
  if (owners.length === 0 || owners.includes(selfId)) return
  throw new RaftStartError(
    'otherNode',
    `${directory} is the directory of ${owners[0]}, and this node is ${selfId} by its dLegerSelfId: put its own directory back, or start it with an empty one`
  )
}
