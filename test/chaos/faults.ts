import { diskFaults } from './diskFaults.ts'
import { type Fault, HOLD_MS_MAX, HOLD_MS_MIN, hold, nodeOf, roles, SLEPT_SENDS } from './fault.ts'
import { HARMS, type Harm } from './harm.ts'
import { HARNESS } from './links.ts'
import type { Scene } from './scene.ts'
import { BROKERS, NAME_SERVERS } from './systems.ts'
import { pause } from './topics.ts'

const STALL_MS = 500
const STALLS = 4
const STALL_EVERY_MS = 1200
const HOUR_MS = 3_600_000

/** Every direction between these two sets. */
function pairs(from: readonly string[], to: readonly string[]): [string, string][] {
  return from.flatMap(a => to.map((b): [string, string] => [a, b]))
}

/** Both directions between these two sets. */
function both(some: readonly string[], others: readonly string[]): [string, string][] {
  return [...pairs(some, others), ...pairs(others, some)]
}

/** Nothing passes these ways for a while. */
async function cutOff(scene: Scene, ways: [string, string][]): Promise<void> {
  await scene.agent({ op: 'cut', pairs: ways })
  await hold(scene)
  await scene.agent({ op: 'heal' })
}

/** Cuts ways between the leader and the other brokers. */
function leaderCut(
  name: string,
  said: string,
  ways: (leader: readonly string[], peers: readonly string[]) => [string, string][]
): Fault {
  return {
    name,
    async run(scene, began) {
      const leader = await scene.leader()
      began(leader)
      const peers = BROKERS.filter(other => other !== leader)
      await cutOff(scene, ways([leader], peers))
      return said
    }
  }
}

const kills: Fault[] = [
  ...roles('kill', role => async (scene, began) => {
    const node = await nodeOf(scene, role)
    began(node)
    await scene.agent({ op: 'kill', nodes: [node] })
    await scene.furtherSends(20)
    await scene.agent({ op: 'start', nodes: [node] })
    return 'kill -9'
  }),
  {
    name: 'kill-two',
    async run(scene, began) {
      const nodes = [await scene.leader(), (await scene.followers())[0]!]
      began(...nodes)
      await scene.agent({ op: 'kill', nodes })
      await pause(scene.random.between(0, HOLD_MS_MIN))
      await scene.agent({ op: 'start', nodes })
      return 'kill -9'
    }
  },
  {
    name: 'kill-all',
    async run(scene, began) {
      began(...BROKERS)
      await scene.agent({ op: 'kill', nodes: BROKERS })
      await scene.agent({ op: 'start', nodes: BROKERS })
      return 'kill -9'
    }
  },
  ...roles('pause', role => async (scene, began) => {
    const node = await nodeOf(scene, role)
    began(node)
    await scene.agent({ op: 'pause', nodes: [node] })
    await pause(scene.random.between(300, 2 * HOLD_MS_MAX))
    await scene.agent({ op: 'resume', nodes: [node] })
    return 'SIGSTOP'
  }),
  ...roles('restart', role => async (scene, began) => {
    const node = await nodeOf(scene, role)
    began(node)
    await scene.agent({ op: 'stop', nodes: [node] })
    await scene.agent({ op: 'start', nodes: [node] })
    return 'SIGTERM'
  })
]

const nameServers: Fault[] = [1, NAME_SERVERS.length].map(count => ({
  name: count === 1 ? 'name-server' : 'name-servers',
  async run(scene, began) {
    const nodes = scene.random.shuffled(NAME_SERVERS).slice(0, count)
    began(...nodes)
    await scene.agent({ op: 'kill', nodes })
    await hold(scene)
    await scene.agent({ op: 'start', nodes })
    return 'kill -9'
  }
}))

const links: Fault[] = [
  ...roles('partition', role => async (scene, began) => {
    const node = await nodeOf(scene, role)
    const rest = [...BROKERS, ...NAME_SERVERS, HARNESS].filter(other => other !== node)
    began(node)
    await cutOff(scene, both([node], rest))
    return 'cut off from everything'
  }),
  leaderCut('partition-peers', 'the leader loses its peers and keeps its clients', both),
  leaderCut('one-way-out', 'peers do not hear the leader', pairs),
  leaderCut('one-way-in', 'the leader does not hear its peers', (leader, peers) =>
    pairs(peers, leader)
  ),
  {
    name: 'one-link',
    async run(scene, began) {
      const [follower = ''] = await scene.followers()
      const leader = await scene.leader()
      began(leader, follower)
      await cutOff(scene, both([leader], [follower]))
      return 'leader and one follower do not reach each other'
    }
  },
  ...roles('slow-link', role => async (scene, began) => {
    const node = await nodeOf(scene, role)
    began(node)
    await scene.agent({ op: 'slow', node })
    await hold(scene)
    await scene.agent({ op: 'heal' })
    return '400 kbit/s'
  })
]

const insides: Fault[] = [
  ...roles(
    'stall',
    role => async (scene, began) => {
      const node = await nodeOf(scene, role)
      began(node)
      for (let i = 0; i < STALLS; i += 1) {
        await scene.agent({ op: 'inject', node, order: { stallMs: STALL_MS } })
        await pause(STALL_EVERY_MS)
      }
      return `${STALLS} times ${STALL_MS} ms`
    },
    { ownOnly: true, calm: true }
  ),
  ...roles(
    'clock',
    role => async (scene, began) => {
      const node = await nodeOf(scene, role)
      const clockOffsetMs = Math.round(scene.random.between(-HOUR_MS, HOUR_MS))
      began(node)
      await scene.agent({ op: 'inject', node, order: { clockOffsetMs } })
      await hold(scene)
      await scene.agent({ op: 'inject', node, order: { clockOffsetMs: 0 } })
      return `wall clock off by ${Math.round(clockOffsetMs / 1000)} s`
    },
    { ownOnly: true, calm: true }
  )
]

/** Files that only our broker has. */
const OWN_FILES: readonly Harm[] = ['index', 'hardstate', 'acknowledged', 'queues', 'state']

const harms: Fault[] = HARMS.map(harm => ({
  name: harm,
  ownOnly: OWN_FILES.includes(harm),
  async run(scene, began) {
    const node = scene.random.pick(BROKERS)
    began(node)
    await scene.agent({ op: 'kill', nodes: [node] })
    await scene.furtherSends(SLEPT_SENDS)
    const seed = scene.random.below(2 ** 31)
    const done = await scene.agent<string>({ op: 'harm', node, harm, seed })
    await scene.agent({ op: 'start', nodes: [node] })
    return done
  }
}))

/**
 * One node slept through acknowledged sends, one was harmed, and these two start first, without the one that has everything. Right is
 * to wait for it where the harm concerns what the sleeper lacks; wrong is to elect and lose it.
 */
const hardCases: Fault[] = ([...HARMS, 'kill'] as const).map(harm => ({
  name: `hard-${harm}`,
  ownOnly: harm !== 'kill' && OWN_FILES.includes(harm),
  async run(scene, began) {
    const [sleeper, harmed, complete] = scene.random.shuffled(BROKERS) as [string, string, string]
    began(sleeper, harmed)
    await scene.agent({ op: 'kill', nodes: [sleeper] })
    await scene.furtherSends(SLEPT_SENDS)
    await scene.agent({ op: 'kill', nodes: [harmed, complete] })
    const seed = scene.random.below(2 ** 31)
    const done =
      harm === 'kill'
        ? 'not harmed'
        : await scene.agent<string>({ op: 'harm', node: harmed, harm, seed })
    const before = (await scene.counts()).acknowledged
    await scene.agent({ op: 'start', nodes: [sleeper, harmed] })
    await pause(scene.watchMs)
    const served = (await scene.counts()).acknowledged > before
    await scene.agent({ op: 'start', nodes: [complete] })
    return `${sleeper} slept; ${harmed}: ${done}; the two ${served ? 'served' : 'waited'}`
  }
}))

export const FAULTS: readonly Fault[] = [
  ...kills,
  ...nameServers,
  ...links,
  ...insides,
  ...diskFaults,
  ...harms,
  ...hardCases
]
