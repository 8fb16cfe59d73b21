/** The process with the clients of a run: `load.js SERVER`. What they do and see goes to the collector as history. */
import process from 'node:process'
import { Bus, Recorder, Subject } from './bus.ts'
import { Consumers } from './consumers.ts'
import { JavaClients } from './javaClients.ts'
import { Producers } from './producers.ts'
import { OffsetRegister } from './register.ts'
import { JAVA, LOOSE, ORDERED } from './topics.ts'

export type LoadRequest =
  | { op: 'open'; nameServers: string; laneMs: number; looseMs: number }
  | { op: 'counts' }
  /** The producers end; resolves when their last send is settled. */
  | { op: 'drain' }
  /** Everything is read, delivered and looked up; resolves to the number of batches of history. */
  | { op: 'finish' }

export interface LoadCounts {
  acknowledged: number
  failed: number
  delivered: number
  /** ms since the last acknowledgement. */
  sinceMs: number
}

/** The Java client is a guest: its lanes pause so many times as long as ours. */
const JAVA_PAUSES = 5

const [server = ''] = process.argv.slice(2)
const bus = await Bus.open(server)
bus.exitWithServer()

interface Running {
  recorder: Recorder
  producers: Producers
  consumers: Consumers
  register: OffsetRegister
  java: JavaClients | null
}
let running: Running | null = null

bus.serve<LoadRequest>(Subject.load, async request => {
  if (request.op === 'open') return open(request)
  if (running === null) throw new Error('the load was not opened')
  const { recorder, producers, consumers, register, java } = running
  switch (request.op) {
    case 'counts': {
      const counts: LoadCounts = { ...producers.counts(), delivered: consumers.delivered }
      counts.acknowledged += java?.acknowledged ?? 0
      counts.failed += java?.failed ?? 0
      return counts
    }
    case 'drain':
      await Promise.all([producers.drain(), register.drain(), java?.drain()])
      return null
    case 'finish': {
      await consumers.finish([ORDERED, LOOSE, JAVA])
      await register.finish()
      await Promise.all([producers.close(), consumers.leave(), register.close(), java?.close()])
      await consumers.close()
      running = null
      return recorder.end()
    }
  }
})

async function open(request: Extract<LoadRequest, { op: 'open' }>): Promise<null> {
  const { nameServers, laneMs, looseMs } = request
  const recorder = new Recorder(bus, 'load')
  const producers = new Producers(nameServers, recorder, { laneMs, looseMs })
  const consumers = new Consumers(nameServers, recorder)
  const register = new OffsetRegister(nameServers, recorder)
  await producers.open()
  await consumers.open()
  await register.open()
  producers.start()
  register.start()
  const java = await JavaClients.start(nameServers, laneMs * JAVA_PAUSES, recorder, event => {
    if (event.op === 'deliver') consumers.saw(event)
  })
  running = { recorder, producers, consumers, register, java }
  return null
}
