import { parseArgs } from 'node:util'

/** Something that is sent, the same for every system. */
export interface Load {
  row: RowName
  name: string
  /** Topic, stream or subject. */
  topic: string
  sizeBytes: number
  connections: number
  /** Requests open on each connection. */
  inflight: number
  /** Messages in one request. */
  batch: number
  /** Queues of the topic, and topics of that name with a number behind it; left out: 4 of the one topic. Ours only. */
  queues?: number
  topics?: number
  /** Each send goes to the next queue. */
  rotate?: boolean
}

/** How long a load is measured, and how often it sends. */
export interface Timing {
  seconds: number
  /** Before that, and does not count. */
  warmupSeconds: number
  /** Messages a second of an open loop; null for a closed one. */
  rate: number | null
}

/** What is measured; README.md says what each is. The first ones without `--rows`, the others only when they are asked for. */
const USUAL_ROWS = ['1k', '128', 'single', 'batch', 'consume'] as const
const FURTHER_ROWS = [
  'half',
  'curve',
  'java',
  'backlog-read',
  'read-during',
  'groups',
  'queues',
  'clients',
  'backlog',
  'start'
] as const
export const ROWS = [...USUAL_ROWS, ...FURTHER_ROWS] as const
export type RowName = (typeof ROWS)[number]

/** Rows that read or compare with what `1k` gave, or take their rate from it. */
const AFTER_1K: readonly RowName[] = [
  'consume',
  'half',
  'curve',
  'backlog-read',
  'read-during',
  'groups'
]

export const LOADS: readonly Load[] = [
  {
    row: '1k',
    name: '1 KiB, 4 × 64',
    topic: 'Bench1024',
    sizeBytes: 1024,
    connections: 4,
    inflight: 64,
    batch: 1
  },
  {
    row: '128',
    name: '128 B, 4 × 64',
    topic: 'Bench128',
    sizeBytes: 128,
    connections: 4,
    inflight: 64,
    batch: 1
  },
  {
    row: 'single',
    name: '1 KiB, one at a time',
    topic: 'BenchSingle',
    sizeBytes: 1024,
    connections: 1,
    inflight: 1,
    batch: 1
  },
  {
    row: 'batch',
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

/** How much the rows of their name are about. */
export interface Sizes {
  /** `backlog-read`, `read-during`: MiB of messages. */
  readMib: number
  /** `start`: MiB of log on each node. */
  logMib: number
  /** `backlog`: messages. */
  backlog: number
  queues: number
  clients: number
  groups: number
}

export interface Options {
  mode: 'table' | 'guard'
  rows: RowName[]
  /** Length of one measurement, and of the load before it that does not count. */
  seconds: number
  warmupSeconds: number
  /** Length of one measurement of the row `half`. */
  halfSeconds: number
  rounds: number
  peers: PeerName[]
  /** Ours and the floor are measured in each. */
  spaces: Space[]
  floor: boolean
  sizes: Sizes
  jsonFile: string | null
}

/** What a mode takes where the command line says nothing. */
const FULL = { seconds: 10, warmupSeconds: 2, rounds: 5 }
const QUICK = { seconds: 3, warmupSeconds: 1, rounds: 3 }
const GUARD = { seconds: 2, warmupSeconds: 1, rounds: 5 }
const FULL_SIZES: Sizes = {
  readMib: 2_048,
  logMib: 4_096,
  backlog: 1_000_000,
  queues: 10_000,
  clients: 2_000,
  groups: 16
}
const QUICK_SIZES: Sizes = {
  readMib: 256,
  logMib: 512,
  backlog: 200_000,
  queues: 2_000,
  clients: 500,
  groups: 16
}
const SECONDS_MAX = 3600
const ROUNDS_MAX = 100
const MIB_MAX = 1_048_576
const BACKLOG_MAX = 1_000_000_000
/** A client needs a port of this host of its own. */
const CLIENTS_MAX = 20_000
const QUEUES_MAX = 1_000_000
const GROUPS_MAX = 1_000

/** @throws Error with a sentence for the user. */
export function parseOptions(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: 'boolean', default: false },
      guard: { type: 'boolean', default: false },
      rows: { type: 'string', default: USUAL_ROWS.join(',') },
      seconds: { type: 'string' },
      'half-seconds': { type: 'string' },
      rounds: { type: 'string' },
      peers: { type: 'string', default: '' },
      space: { type: 'string', default: SPACES.join(',') },
      'no-floor': { type: 'boolean', default: false },
      'read-mib': { type: 'string' },
      'log-mib': { type: 'string' },
      backlog: { type: 'string' },
      queues: { type: 'string' },
      clients: { type: 'string' },
      groups: { type: 'string' },
      json: { type: 'string' }
    }
  })
  if (values.guard && values.peers !== '') {
    throw new Error('--guard compares ours with the floor: leave --peers out.')
  }
  const times = values.guard ? GUARD : values.quick ? QUICK : FULL
  const sizes = values.quick ? QUICK_SIZES : FULL_SIZES
  const seconds = whole('seconds', values.seconds, times.seconds, SECONDS_MAX)
  const spaces = values.guard ? (['warm'] as const) : names('space', values.space, SPACES)
  const rows = values.guard ? (['1k'] as const) : rowNames(values.rows)
  if (rows.length === 0) throw new Error(`--rows: give some of ${ROWS.join(', ')}, or all.`)
  if (spaces.length === 0 && rows.some(row => (FURTHER_ROWS as readonly string[]).includes(row))) {
    throw new Error('--space none leaves ours out, which these rows are about.')
  }
  return {
    mode: values.guard ? 'guard' : 'table',
    rows: [...rows],
    seconds,
    warmupSeconds: times.warmupSeconds,
    halfSeconds: whole('half-seconds', values['half-seconds'], seconds, SECONDS_MAX),
    rounds: whole('rounds', values.rounds, times.rounds, ROUNDS_MAX),
    peers: names('peers', values.peers, PEERS),
    spaces: [...spaces],
    floor: !values['no-floor'],
    sizes: {
      readMib: whole('read-mib', values['read-mib'], sizes.readMib, MIB_MAX),
      logMib: whole('log-mib', values['log-mib'], sizes.logMib, MIB_MAX),
      backlog: whole('backlog', values.backlog, sizes.backlog, BACKLOG_MAX),
      queues: whole('queues', values.queues, sizes.queues, QUEUES_MAX),
      clients: whole('clients', values.clients, sizes.clients, CLIENTS_MAX),
      groups: whole('groups', values.groups, sizes.groups, GROUPS_MAX)
    },
    jsonFile: values.json ?? null
  }
}

/** In the order of `ROWS`, with those that others need. */
function rowNames(text: string): RowName[] {
  const asked = text === 'all' ? [...ROWS] : names('rows', text, ROWS)
  const needed = asked.some(row => AFTER_1K.includes(row)) ? ['1k'] : []
  return ROWS.filter(row => asked.includes(row) || needed.includes(row))
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
