import { CLUSTER, type ClusterView, readCluster, waitsToBeAdded } from './cluster.ts'
import type { Layout, Member } from './layout.ts'
import type { Session } from './session.ts'
import { exchangeMessages } from './trial.ts'

const POLL_MS = 100
/** The first start needs all members once; later an election is over in two seconds. */
const LEADER_TIMEOUT_MS = 60_000

export const VERBS = ['start', 'stop', 'restart', 'kill', 'status', 'clean'] as const
export type Verb = (typeof VERBS)[number]

/** Carries out one command line; `target` is null for the whole cluster. */
export async function run(session: Session, verb: Verb, target: string | null): Promise<void> {
  switch (verb) {
    case 'start':
      return target === null ? startAll(session) : startMember(session, await pick(session, target))
    case 'stop':
      return target === null ? stopAll(session) : stopOne(session, await pick(session, target))
    case 'restart':
      return target === null
        ? restartAll(session)
        : restartOne(session, await pick(session, target))
    case 'kill':
      return target === null ? killAll(session) : killOne(session, await pick(session, target))
    case 'status':
      return status(session)
    case 'clean':
      return clean(session)
  }
}

function members(layout: Layout): Member[] {
  return [layout.namesrv, ...layout.brokers, ...layout.further]
}

/** The founders, and of the others those that were started before. */
async function usualMembers({ layout, platform }: Session): Promise<Member[]> {
  const usual = [layout.namesrv, ...layout.brokers]
  for (const member of layout.further) {
    if (await platform.disk.exists(member.config.file)) usual.push(member)
  }
  return usual
}

/** The member that a name, `leader`, or a broker's `host:port` means. */
async function pick(session: Session, target: string): Promise<Member> {
  const { layout } = session
  if (target === 'leader') {
    const { leader } = await readCluster(session)
    if (leader === null) throw new Error('The cluster has no leader at present.')
    return leader
  }
  const port = /:(\d+)$/.exec(target)?.[1]
  const found = members(layout).find(
    member => member.name === target || (port !== undefined && member.port === Number(port))
  )
  if (found === undefined) {
    throw new Error(`There is no ${target} here: use namesrv, n0 to n4 or leader.`)
  }
  return found
}

async function startAll(session: Session): Promise<void> {
  const { layout, platform, print } = session
  for (const member of await usualMembers(session)) await startMember(session, member)
  const beganMs = platform.clock.monotonicMs()
  const { leader } = await untilLeader(session)
  const waitedMs = Math.round(platform.clock.monotonicMs() - beganMs)
  print(`The leader is ${leader.name} on port ${leader.port} (after ${waitedMs} ms).`)
  print('')
  await exchangeMessages(session)
  print('')
  await session.mqadmin('clusterList', '-n', layout.namesrvAddress)
  print('')
  hints(session)
}

async function startMember(session: Session, member: Member): Promise<void> {
  const { processes, print } = session
  const pid = await processes.pid(member)
  if (pid !== null) {
    print(`${member.name} is running already (process ${pid}, port ${member.port}).`)
    return
  }
  try {
    await processes.start(member)
  } catch (error) {
    throw permissionSentence(error, session.layout.stateDirectory)
  }
  print(`${member.name} is up on port ${member.port} (process ${await processes.pid(member)}).`)
  const { layout } = session
  if (!layout.further.includes(member) || !(await waitsToBeAdded(session, member))) return
  print(`${member.name} is no member of the group yet and waits to be added:`)
  print(`  bin/mqadmin raftAddMember -n ${layout.namesrvAddress} -c ${CLUSTER} -i ${member.name}`)
}

function permissionSentence(error: unknown, directory: string): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (code !== 'EACCES' && code !== 'EPERM' && code !== 'EROFS') return error
  return new Error(
    `No permission to write below ${directory}. Another user may have run a cluster there: ` +
      'PORT_OFFSET=1000 scripts/fast-try.sh takes a directory of its own.',
    { cause: error }
  )
}

async function untilLeader(session: Session): Promise<{ leader: Member }> {
  const { clock } = session.platform
  const deadlineMs = clock.monotonicMs() + LEADER_TIMEOUT_MS
  for (;;) {
    const { leader } = await readCluster(session)
    if (leader !== null) return { leader }
    for (const member of await usualMembers(session)) {
      const lastWords = await session.processes.ending(member)
      if (lastWords !== null) throw new Error(`${member.name} has ended meanwhile:\n${lastWords}`)
    }
    if (clock.monotonicMs() > deadlineMs) {
      throw new Error(
        `No leader after ${LEADER_TIMEOUT_MS / 1000} s. The logs below ` +
          `${session.layout.stateDirectory}/logs say whom the brokers wait for.`
      )
    }
    await session.processes.pause(POLL_MS)
  }
}

async function stopOne({ processes, print }: Session, member: Member): Promise<void> {
  print((await processes.stop(member)) ? `${member.name} has stopped.` : notRunning(member))
}

function notRunning(member: Member): string {
  return `${member.name} is not running.`
}

/** Followers first: the leader then finds no peer to hand over to and need not wait for one. */
async function stopAll(session: Session): Promise<void> {
  const { layout } = session
  const leader = (await readCluster(session)).leader
  const usual = await usualMembers(session)
  const followers = usual.filter(member => member !== leader && member !== layout.namesrv)
  await Promise.all(followers.map(member => stopOne(session, member)))
  if (leader !== null) await stopOne(session, leader)
  await stopOne(session, layout.namesrv)
}

async function restartOne(session: Session, member: Member): Promise<void> {
  await stopOne(session, member)
  await startMember(session, member)
}

async function restartAll(session: Session): Promise<void> {
  await stopAll(session)
  await startAll(session)
}

async function killOne({ processes, print }: Session, member: Member): Promise<void> {
  print((await processes.kill(member)) ? `${member.name} was killed.` : notRunning(member))
}

async function killAll(session: Session): Promise<void> {
  const usual = await usualMembers(session)
  await Promise.all(usual.map(member => killOne(session, member)))
}

async function status(session: Session): Promise<void> {
  const { layout, processes, print } = session
  const view: ClusterView = await readCluster(session)
  for (const member of await usualMembers(session)) {
    const pid = await processes.pid(member)
    const state = pid === null ? 'not running' : `running, process ${pid}`
    const role = member === view.leader ? ', leader' : ''
    print(`${member.name.padEnd(8)} port ${String(member.port).padEnd(6)} ${state}${role}`)
  }
  print(`State and logs: ${layout.stateDirectory}`)
  if (view.reachable) {
    print('')
    await session.mqadmin('clusterList', '-n', layout.namesrvAddress)
  }
}

async function clean(session: Session): Promise<void> {
  const { layout, platform, processes, print } = session
  for (const member of members(layout)) {
    if (await processes.kill(member)) print(`${member.name} was killed.`)
  }
  try {
    await platform.disk.remove(layout.stateDirectory)
  } catch (error) {
    throw permissionSentence(error, layout.stateDirectory)
  }
  print(`${layout.stateDirectory} is removed.`)
}

function hints({ layout, print }: Session): void {
  const self =
    layout.namesrv.port === 9876
      ? 'scripts/fast-try.sh'
      : `PORT_OFFSET=${layout.namesrv.port - 9876} scripts/fast-try.sh`
  print(`Point any RocketMQ client at the name server ${layout.namesrvAddress}. To try next:`)
  print(`  ${self} kill leader     another broker takes over; then: ${self} start`)
  print(`  ${self} status          who runs, who leads`)
  print(
    `  NAMESRV_ADDR=${layout.namesrvAddress} bin/tools.sh org.apache.rocketmq.example.quickstart.Producer`
  )
  print(`  bin/mqadmin topicStatus -n ${layout.namesrvAddress} -t TopicTest`)
  print(`  ${self} stop            ends everything; "clean" also removes its data`)
  print(`State and logs: ${layout.stateDirectory}`)
}
