import { type Bus, Recorder, Subject } from './bus.ts'
import type { CollectorRequest, Judgement } from './collector.ts'
import { sharedNowMs } from './events.ts'
import type { Fault } from './fault.ts'
import { Scene } from './scene.ts'
import type { Seeded } from './seeded.ts'
import { pause } from './topics.ts'

/** Undisturbed time before each fault. */
const CALM_MS = 1000
const JUDGE_TIMEOUT_MS = 120_000

export interface Pace {
  laneMs: number
  looseMs: number
}

export interface Episode {
  number: number
  judgement: Judgement
  /** Sentences on what was wrong although no message was: a node that did not come back, an election that should not be. */
  complaints: string[]
  historyFile: string
}

export interface EpisodePlan {
  number: number
  random: Seeded
  pace: Pace
  watchMs: number
  smallDisks: boolean
  membership: boolean
  historyFile: string
  /** The next fault, or null when the episode is to end. */
  next(): Fault | null
  /** Called as things happen, for the status line. */
  tell(what: string): void
  watch(scene: Scene): void
}

/** A cluster of its own with empty disks: faults one after the other under load, then everything is read and judged. */
export async function runEpisode(bus: Bus, plan: EpisodePlan): Promise<Episode> {
  const collector = <T>(request: CollectorRequest): Promise<T> =>
    bus.ask<T>(Subject.collector, request, JUDGE_TIMEOUT_MS)
  await collector({ op: 'open', file: plan.historyFile })
  const recorder = new Recorder(bus, 'conductor')
  plan.tell('a new cluster starts')
  const { number: episode, ...options } = plan
  const scene = await Scene.open(bus, recorder, plan.random, { episode, ...options })
  plan.watch(scene)
  const complaints: string[] = []
  const calm = new Set<string>()
  for (let number = 1; complaints.length === 0; number += 1) {
    const fault = plan.next()
    if (fault === null) break
    if (fault.calm === true) calm.add(fault.name)
    await pause(CALM_MS)
    const complaint = await disturb(scene, fault, plan.number * 1000 + number, plan)
    if (complaint !== null) complaints.push(complaint)
  }
  plan.tell('everything is read and checked')
  try {
    await scene.load({ op: 'drain' })
    const load = await scene.load<number>({ op: 'finish' })
    const agent = await scene.close()
    const batches = { load, agent, conductor: await recorder.end() }
    const judgement = await collector<Judgement>({ op: 'judge', batches })
    for (const { fault, elections } of judgement.outages) {
      if (calm.has(fault) && elections > 0) complaints.push(`${fault}: ${elections} elections`)
    }
    return { number: plan.number, judgement, complaints, historyFile: plan.historyFile }
  } catch (error) {
    const text = [...complaints, (error as Error).message].join('; ')
    throw new Error(`episode ${plan.number}: ${text}`, { cause: error })
  }
}

/** Null when the cluster was whole again afterwards. */
async function disturb(
  scene: Scene,
  fault: Fault,
  number: number,
  plan: EpisodePlan
): Promise<string | null> {
  let nodes: readonly string[] = []
  const startMs = sharedNowMs()
  try {
    const note = await fault.run(scene, (...names) => {
      nodes = names
      plan.tell(`${fault.name} ${names.join(' ')}`)
      scene.fault('start', fault.name, number, nodes)
    })
    scene.fault('healed', fault.name, number, nodes, note)
    await scene.whole()
    scene.fault('end', fault.name, number, nodes)
    const seconds = ((sharedNowMs() - startMs) / 1000).toFixed(1)
    plan.tell(`${fault.name} ${nodes.join(' ')} is over after ${seconds} s: ${note}`)
    return null
  } catch (error) {
    const text = `${fault.name} of ${nodes.join(' ')}: ${(error as Error).message}`
    plan.tell(text)
    await scene.restore()
    return text
  }
}
