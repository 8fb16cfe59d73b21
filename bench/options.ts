import { parseArgs } from 'node:util'

/** Something that is sent, the same for every system. */
export interface Load {
  name: string
  /** Topic, stream or subject. */
  topic: string
  sizeBytes: number
  connections: number
  /** Requests open on each connection. */
  inflight: number
  /** Messages in one request. */
  batch: number
}

export const LOADS: readonly Load[] = [
  {
    name: '1 KiB, 4 × 64',
    topic: 'Bench1024',
    sizeBytes: 1024,
    connections: 4,
    inflight: 64,
    batch: 1
  },
  {
    name: '128 B, 4 × 64',
    topic: 'Bench128',
    sizeBytes: 128,
    connections: 4,
    inflight: 64,
    batch: 1
  },
  {
    name: '1 KiB, one at a time',
    topic: 'BenchSingle',
    sizeBytes: 1024,
    connections: 1,
    inflight: 1,
    batch: 1
  },
  {
    name: '1 KiB in batches of 32',
    topic: 'BenchBatch',
    sizeBytes: 1024,
    connections: 4,
    inflight: 8,
    batch: 32
  }
]

/** What is written to: blocks of the disk that were written before, or new ones. */
export const SPACES = ['warm', 'fresh'] as const
export type Space = (typeof SPACES)[number]

export const PEERS = ['nats', 'rocketmq'] as const
export type PeerName = (typeof PEERS)[number]

export interface Options {
  mode: 'table' | 'guard'
  /** Length of one measurement, and of the load before it that does not count. */
  seconds: number
  warmupSeconds: number
  rounds: number
  peers: PeerName[]
  /** Ours and the floor are measured in each. */
  spaces: Space[]
  floor: boolean
  jsonFile: string | null
}

/** What a mode takes where the command line says nothing. */
const FULL = { seconds: 10, warmupSeconds: 2, rounds: 5 }
const QUICK = { seconds: 3, warmupSeconds: 1, rounds: 3 }
const GUARD = { seconds: 2, warmupSeconds: 1, rounds: 5 }
const SECONDS_MAX = 3600
const ROUNDS_MAX = 100

/** @throws Error with a sentence for the user. */
export function parseOptions(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: 'boolean', default: false },
      guard: { type: 'boolean', default: false },
      seconds: { type: 'string' },
      rounds: { type: 'string' },
      peers: { type: 'string', default: '' },
      space: { type: 'string', default: SPACES.join(',') },
      'no-floor': { type: 'boolean', default: false },
      json: { type: 'string' }
    }
  })
  if (values.guard && values.peers !== '') {
    throw new Error('--guard compares ours with the floor: leave --peers out.')
  }
  const times = values.guard ? GUARD : values.quick ? QUICK : FULL
  return {
    mode: values.guard ? 'guard' : 'table',
    seconds: whole('seconds', values.seconds, times.seconds, SECONDS_MAX),
    warmupSeconds: times.warmupSeconds,
    rounds: whole('rounds', values.rounds, times.rounds, ROUNDS_MAX),
    peers: names('peers', values.peers, PEERS),
    spaces: values.guard ? ['warm'] : names('space', values.space, SPACES),
    floor: !values['no-floor'],
    jsonFile: values.json ?? null
  }
}

function whole(name: string, text: string | undefined, otherwise: number, max: number): number {
  if (text === undefined) return otherwise
  const number = Number(text)
  if (Number.isInteger(number) && number >= 1 && number <= max) return number
  throw new Error(`--${name} ${text}: give a whole number from 1 to ${max}.`)
}

/** A list with commas; empty or `none` for nothing. */
function names<T extends string>(option: string, text: string, known: readonly T[]): T[] {
  if (text === '' || text === 'none') return []
  const chosen = text.split(',')
  for (const name of chosen) {
    if (!known.includes(name as T)) {
      throw new Error(`--${option} ${name}: known are ${known.join(', ')}, with commas, or none.`)
    }
  }
  return known.filter(name => chosen.includes(name))
}
