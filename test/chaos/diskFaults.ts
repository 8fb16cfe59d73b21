import { ResponseCode } from '../../src/protocol/index.ts'
import { type Fault, hold, nodeOf, roles, SLEPT_SENDS } from './fault.ts'
import type { DiskTrouble } from './inject.ts'
import type { Scene } from './scene.ts'
import { BROKERS } from './systems.ts'
import { pause } from './topics.ts'

/** Disks that are full, slow, broken, of another boot of the machine, or put back from a backup. */

/** Slower than a disk may be (R-D9). */
const SLOW_MS = 1500
const LOG = 'raft/data'
/** Files that a node writes, each of which may be the first that finds no room. */
const PARTS = [LOG, 'raft/index', 'raft/membership', 'consumequeue', '/store/index/'] as const
const BROKEN = ['write', 'sync'] as const

async function trouble(scene: Scene, node: string, disk: DiskTrouble | null): Promise<void> {
  await scene.agent({ op: 'inject', node, order: { disk } })
}

async function fill(scene: Scene, op: 'fill' | 'free', nodes: readonly string[]): Promise<void> {
  for (const node of nodes) await scene.agent({ op, node })
}

const full: Fault[] = [
  {
    name: 'disk-full-leader',
    ownOnly: true,
    async run(scene, began) {
      const node = await scene.leader()
      began(node)
      await fill(scene, 'fill', [node])
      // Another one has room: the sends go on before there is any here.
      await scene.until(
        'another leader',
        async () => (await scene.leader()) !== node && (await scene.acknowledging())
      )
      await hold(scene)
      await fill(scene, 'free', [node])
      return 'led by another one meanwhile'
    }
  },
  {
    name: 'disk-full-follower',
    ownOnly: true,
    async run(scene, began) {
      const node = await nodeOf(scene, 'follower')
      began(node)
      await fill(scene, 'fill', [node])
      await hold(scene)
      await scene.furtherSends(SLEPT_SENDS)
      await fill(scene, 'free', [node])
      return 'the others went on'
    }
  },
  {
    name: 'disk-full-all',
    ownOnly: true,
    async run(scene, began) {
      began(...BROKERS)
      await fill(scene, 'fill', BROKERS)
      let code: number | null = null
      await scene.until('a refused send', async () => {
        code = await scene.refusal()
        return code !== null
      })
      if (code !== ResponseCode.SERVICE_NOT_AVAILABLE)
        throw new Error(`a full cluster refuses sends with ${code}`)
      await hold(scene)
      const again = await scene.refusal()
      if (again !== ResponseCode.SERVICE_NOT_AVAILABLE)
        throw new Error(`a cluster that is still full answers a send with ${again}`)
      await fill(scene, 'free', BROKERS)
      return `sends were refused with ${code}`
    }
  },
  {
    name: 'disk-full-kill',
    ownOnly: true,
    async run(scene, began) {
      const node = scene.random.pick(BROKERS)
      began(node)
      await fill(scene, 'fill', [node])
      await hold(scene)
      // Whatever half of a write it left anywhere: the next start has to make out what counts.
      await scene.agent({ op: 'kill', nodes: [node] })
      await fill(scene, 'free', [node])
      await scene.agent({ op: 'start', nodes: [node] })
      return 'kill -9 while it was full'
    }
  },
  {
    name: 'no-room',
    ownOnly: true,
    async run(scene, began) {
      const node = scene.random.pick(BROKERS)
      const path = scene.random.pick(PARTS)
      began(node)
      await trouble(scene, node, { operations: ['write'], path, code: 'ENOSPC', delayMs: 0 })
      await hold(scene)
      await trouble(scene, node, null)
      return `ENOSPC of ${path}`
    }
  }
]

const broken: Fault[] = [
  ...roles(
    'slow-disk',
    role => async (scene, began) => {
      const node = await nodeOf(scene, role)
      began(node)
      const disk = { operations: BROKEN, path: LOG, code: null, delayMs: SLOW_MS }
      await trouble(scene, node, disk)
      await hold(scene)
      await trouble(scene, node, null)
      return `each write takes ${SLOW_MS} ms`
    },
    { ownOnly: true }
  ),
  ...(['write', 'sync', 'hardstate'] as const).flatMap(which =>
    roles(
      `fail-${which}`,
      role => async (scene, began) => {
        const node = await nodeOf(scene, role)
        const path = which === 'hardstate' ? 'raft/hardstate' : LOG
        const operations = which === 'write' ? (['write'] as const) : (['sync'] as const)
        began(node)
        await trouble(scene, node, { operations, path, code: 'EIO', delayMs: 0 })
        // R-D8: it does not go on with a file that failed.
        await scene.endsByItself(node)
        await scene.agent({ op: 'start', nodes: [node] })
        return `EIO of ${path}, then a start on a good disk`
      },
      { ownOnly: true }
    )
  ),
  {
    name: 'fail-read',
    ownOnly: true,
    async run(scene, began) {
      const node = scene.random.pick(BROKERS)
      began(node)
      await trouble(scene, node, { operations: ['read'], path: LOG, code: 'EIO', delayMs: 0 })
      // Somebody has to read it from the beginning.
      const other = BROKERS.find(id => id !== node)!
      await scene.agent({ op: 'kill', nodes: [other] })
      const seed = scene.random.below(2 ** 31)
      await scene.agent({ op: 'harm', node: other, harm: 'wipe', seed })
      await scene.agent({ op: 'start', nodes: [other] })
      await hold(scene)
      await trouble(scene, node, null)
      return `EIO of reads, while ${other} comes back with an empty disk`
    }
  }
]

/** [slept through acknowledged sends, has a disk that may be older, has everything]. */
async function hardCase(
  scene: Scene,
  began: (...nodes: string[]) => void,
  before: (harmed: string) => Promise<void>,
  harm: (harmed: string) => Promise<void>
): Promise<string> {
  const [sleeper, harmed, complete] = scene.random.shuffled(BROKERS) as [string, string, string]
  await before(harmed)
  began(sleeper, harmed)
  await scene.agent({ op: 'kill', nodes: [sleeper] })
  await scene.furtherSends(SLEPT_SENDS)
  await scene.agent({ op: 'kill', nodes: [harmed, complete] })
  await harm(harmed)
  const { acknowledged } = await scene.counts()
  await scene.agent({ op: 'start', nodes: [sleeper, harmed] })
  await pause(scene.watchMs)
  const served = (await scene.counts()).acknowledged > acknowledged
  await scene.agent({ op: 'start', nodes: [complete] })
  return `${sleeper} slept; the two ${served ? 'served' : 'waited'}`
}

async function takeBackup(scene: Scene, node: string): Promise<void> {
  await scene.agent({ op: 'kill', nodes: [node] })
  await scene.agent({ op: 'backup', node })
  await scene.agent({ op: 'start', nodes: [node] })
  await scene.whole()
}

const others: Fault[] = [
  {
    name: 'reboot',
    ownOnly: true,
    async run(scene, began) {
      const node = scene.random.pick(BROKERS)
      began(node)
      await scene.agent({ op: 'kill', nodes: [node] })
      await scene.furtherSends(SLEPT_SENDS)
      await scene.agent({ op: 'reboot', node })
      await scene.agent({ op: 'start', nodes: [node] })
      return 'kill -9, and another boot id'
    }
  },
  {
    name: 'hard-reboot',
    ownOnly: true,
    run: (scene, began) =>
      hardCase(
        scene,
        began,
        async () => {},
        async harmed => void (await scene.agent({ op: 'reboot', node: harmed }))
      )
  },
  {
    name: 'backup',
    ownOnly: true,
    async run(scene, began) {
      const node = scene.random.pick(BROKERS)
      began(node)
      await takeBackup(scene, node)
      await scene.furtherSends(SLEPT_SENDS)
      await scene.agent({ op: 'kill', nodes: [node] })
      await scene.agent({ op: 'putBack', node })
      await scene.agent({ op: 'start', nodes: [node] })
      return 'an older copy of its disk'
    }
  },
  {
    name: 'hard-backup',
    ownOnly: true,
    run: (scene, began) =>
      hardCase(
        scene,
        began,
        harmed => takeBackup(scene, harmed),
        async harmed => void (await scene.agent({ op: 'putBack', node: harmed }))
      )
  }
]

export const diskFaults: readonly Fault[] = [...full, ...broken, ...others]
