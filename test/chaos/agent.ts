/** The process that keeps a run's nodes: starts, ends and harms them as the conductor says. `agent.js SERVER DIRECTORY SYSTEM FLUSH SEGMENT_BYTES`. */
import process from 'node:process'
import { Bus, Recorder, Subject } from './bus.ts'
import type { Harm } from './harm.ts'
import type { InjectOrder } from './inject.ts'
import { Nodes } from './nodes.ts'
import { openSystem } from './systems.ts'

export type AgentRequest =
  | { op: 'open'; episode: number; smallDisks: boolean }
  | { op: 'start' | 'kill' | 'stop' | 'pause' | 'resume'; nodes: readonly string[] }
  | { op: 'harm'; node: string; harm: Harm; seed: number }
  | { op: 'fill' | 'free' | 'reboot' | 'backup' | 'putBack'; node: string }
  | { op: 'cut'; pairs: readonly (readonly [from: string, to: string])[] }
  | { op: 'slow'; node: string }
  | { op: 'heal' }
  | { op: 'inject'; node: string; order: InjectOrder }
  | { op: 'state' }
  | { op: 'close' }

export interface OpenAnswer {
  nameServers: string
  /** Broker address → node. */
  brokers: Record<string, string>
}

export interface NodesState {
  /** Nodes that should run and do not, with their last words. */
  ended: Record<string, string>
}

const [server = '', directory = '', systemName = '', flush = '', segmentBytes = ''] =
  process.argv.slice(2)
const bus = await Bus.open(server)
bus.exitWithServer()
const system = await openSystem(systemName, flush, Number(segmentBytes))
const nodes = new Nodes(system, directory)
let recorder: Recorder | null = null
nodes.onLeader((node, term) =>
  recorder?.add({ at: nodes.nowMs(), client: node, op: 'leader', kind: 'ok', term })
)

bus.serve<AgentRequest>(Subject.agent, async request => {
  switch (request.op) {
    case 'open':
      recorder = new Recorder(bus, 'agent')
      return nodes.open(request.episode, request.smallDisks)
    case 'start':
      return each(request.nodes, node => nodes.start(node))
    case 'kill':
      return each(request.nodes, node => nodes.end(node, 'SIGKILL'))
    case 'stop':
      return each(request.nodes, node => nodes.end(node, 'SIGTERM'))
    case 'pause':
      return each(request.nodes, async node => nodes.signal(node, 'SIGSTOP'))
    case 'resume':
      return each(request.nodes, async node => nodes.signal(node, 'SIGCONT'))
    case 'harm':
      return nodes.harm(request.node, request.harm, request.seed)
    case 'fill':
      return nodes.fill(request.node)
    case 'free':
      return nodes.free(request.node)
    case 'reboot':
      return nodes.reboot(request.node)
    case 'backup':
      return nodes.backup(request.node)
    case 'putBack':
      return nodes.putBack(request.node)
    case 'cut':
      for (const [from, to] of request.pairs) await nodes.links.cut(from, to)
      return null
    case 'slow':
      return nodes.links.slow(request.node)
    case 'heal':
      return nodes.links.heal()
    case 'inject':
      return nodes.inject(request.node, request.order)
    case 'state':
      return { ended: nodes.ended() } satisfies NodesState
    case 'close': {
      await nodes.close()
      const batches = (await recorder?.end()) ?? 0
      recorder = null
      return batches
    }
  }
})

async function each(names: readonly string[], act: (node: string) => Promise<void>): Promise<null> {
  await Promise.all(names.map(act))
  return null
}
