import { spawn } from 'node:child_process'
import { join } from 'node:path'
import process from 'node:process'
import { text } from 'node:stream/consumers'
import type { Report as BenchReport } from '../../bench/window.ts'
import { sharedNowMs } from './events.ts'
import type { Fault } from './fault.ts'
import type { Scene } from './scene.ts'
import { BROKERS } from './systems.ts'
import { pause } from './topics.ts'

const TOPIC = 'Full'
const QUEUES = 4
const LOAD = ['--size', '128', '--connections', '4', '--inflight', '64', '--warmup', '1']
const STALL_MS = 500
const STALL_EVERY_MS = 5000

/** Everything is kept until it is judged: full load writes two gigabytes a minute here. */
const EPISODE_MINUTES = 12

/** So many minutes of `healthy`, each cluster alive for as long as its disks are sure to hold. */
export function healthyEpisodes(minutes: number): Fault[] {
  const count = Math.ceil(minutes / EPISODE_MINUTES)
  return Array.from({ length: count }, () => healthy(minutes / count))
}

/**
 * No fault at all: as many sends as the cluster takes (bench/sendLoad.ts) for so many minutes, and every 5 s one node's loop stands
 * still for 500 ms. No node may be elected meanwhile, and none of the sends may be refused.
 */
function healthy(minutes: number): Fault {
  return {
    name: 'healthy',
    ownOnly: true,
    calm: true,
    async run(scene, began) {
      await scene.makeTopic(TOPIC, QUEUES)
      const seconds = Math.round(minutes * 60)
      const leader = await scene.leader()
      began(...BROKERS)
      const load = fullLoad(scene.address(leader), seconds)
      const endMs = sharedNowMs() + seconds * 1000
      let stalls = 0
      while (sharedNowMs() < endMs) {
        await pause(STALL_EVERY_MS)
        await stall(scene)
        stalls += 1
      }
      const { messagesPerSecond, refused, lastRefusal } = await load
      if (refused !== undefined && refused > 0) {
        throw new Error(`${refused} sends of the full load were refused: ${lastRefusal}`)
      }
      return `${Math.round(messagesPerSecond)} sends of 128 bytes a second for ${seconds} s, ${stalls} stalls of ${STALL_MS} ms`
    }
  }
}

async function stall(scene: Scene): Promise<void> {
  const node = scene.random.pick(BROKERS)
  await scene.agent({ op: 'inject', node, order: { stallMs: STALL_MS } })
}

async function fullLoad(address: string, seconds: number): Promise<BenchReport> {
  const program = join(import.meta.dirname, '../../bench/sendLoad.js')
  const args = ['--address', address, '--topic', TOPIC, '--queues', String(QUEUES), ...LOAD]
  const child = spawn(process.execPath, [program, ...args, '--seconds', String(seconds)], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const said = await text(child.stdout)
  return JSON.parse(said.trim().split('\n').at(-1) ?? '') as BenchReport
}
