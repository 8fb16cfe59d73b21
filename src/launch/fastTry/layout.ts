import { join } from 'node:path'
import type { Disk } from '../../platform/index.ts'
import { parsePropertiesFile } from '../../protocol/index.ts'
import { type ConfigCopy, effectiveText } from './configCopy.ts'

/** Names of the three brokers that found the group, as `dLegerSelfId` says them. */
const FOUNDER_IDS = ['n0', 'n1', 'n2'] as const
/** Of brokers that may be added to it. */
const FURTHER_IDS = ['n3', 'n4'] as const
export type NodeId = (typeof FOUNDER_IDS)[number] | (typeof FURTHER_IDS)[number]

const NAMESRV_PORT = 9876
/** Below it lie the stores that the sample configuration files name. */
const SAMPLE_ROOT = '/tmp/rmqstore'
const PORT_OFFSET_MAX = 65_535 - 40_915

/** One process of the cluster that fast-try runs. */
export interface Member {
  name: 'namesrv' | NodeId
  /** Port that clients use. */
  port: number
  /** Every port that must be free before the start. */
  ports: number[]
  /** Written before the start unless it is there. */
  config: ConfigCopy
  /** Program in `bin` and its arguments. */
  command: string[]
  logDirectory: string
  outputFile: string
  pidFile: string
}

export interface Layout {
  /** Holds all data, logs and pid files; `clean` removes it. */
  stateDirectory: string
  namesrvAddress: string
  namesrv: Member
  /** The founders. */
  brokers: Member[]
  /** Started only by name, and from then on with the others. */
  further: Member[]
}

/**
 * Where everything of a local cluster lies. With an offset every port moves by it and the state directory gets it
 * as a suffix, so that several clusters run side by side.
 */
export async function readLayout(root: string, portOffset: number, disk: Disk): Promise<Layout> {
  const stateDirectory = portOffset === 0 ? SAMPLE_ROOT : `${SAMPLE_ROOT}-${portOffset}`
  const namesrvPort = NAMESRV_PORT + portOffset
  const namesrvAddress = `127.0.0.1:${namesrvPort}`
  const member = (
    name: Member['name']
  ): Pick<Member, 'logDirectory' | 'outputFile' | 'pidFile'> => ({
    logDirectory: join(stateDirectory, 'logs', name),
    outputFile: join(stateDirectory, 'logs', `${name}.out`),
    pidFile: join(stateDirectory, 'run', `${name}.pid`)
  })
  const broker = async (id: NodeId): Promise<Member> => {
    const sample = join(root, 'conf', 'dledger', `broker-${id}.conf`)
    if (!(await disk.exists(sample))) {
      throw new Error(`Make sure that ${sample} exists: the cluster is described there.`)
    }
    const sampleText = (await disk.readFile(sample)).toString('latin1')
    const config: ConfigCopy = {
      file: join(stateDirectory, 'conf', `broker-${id}.conf`),
      sampleText: portOffset === 0 ? sampleText : shifted(sampleText, portOffset, stateDirectory)
    }
    const { port, raftPort } = portsOf(await effectiveText(config, disk), id, config.file)
    return {
      name: id,
      port,
      ports: [port, raftPort],
      config,
      command: ['mqbroker', '-c', config.file, '-n', namesrvAddress],
      ...member(id)
    }
  }
  const brokers = await Promise.all(FOUNDER_IDS.map(broker))
  const further = await Promise.all(FURTHER_IDS.map(broker))
  const namesrvConfig: ConfigCopy = {
    file: join(stateDirectory, 'conf', 'namesrv.conf'),
    sampleText: `listenPort=${namesrvPort}\nkvConfigPath=${stateDirectory}/namesrv/kvConfig.json\n`
  }
  const namesrv: Member = {
    name: 'namesrv',
    port: namesrvPort,
    ports: [namesrvPort],
    config: namesrvConfig,
    command: ['mqnamesrv', '-c', namesrvConfig.file],
    ...member('namesrv')
  }
  return { stateDirectory, namesrvAddress, namesrv, brokers, further }
}

/** Reads the environment's PORT_OFFSET; a plain sentence for what cannot be one. */
export function parsePortOffset(text: string | undefined): number {
  if (text === undefined || text === '') return 0
  const offset = Number(text)
  if (!Number.isInteger(offset) || offset < 0 || offset > PORT_OFFSET_MAX) {
    throw new Error(
      `PORT_OFFSET=${text}: use a whole number from 0 to ${PORT_OFFSET_MAX}, for example 1000.`
    )
  }
  return offset
}

function shifted(text: string, offset: number, stateDirectory: string): string {
  return text
    .split('\n')
    .map(line => {
      if (line.startsWith('#')) return line
      const at = line.indexOf('=')
      if (at < 0) return line
      const key = line.slice(0, at)
      const value = line.slice(at + 1)
      if (key === 'listenPort') return `${key}=${Number(value) + offset}`
      if (key === 'namesrvAddr' || key === 'dLegerPeers') {
        return `${key}=${value.replace(/:(\d+)/g, (_, port) => `:${Number(port) + offset}`)}`
      }
      return `${key}=${value.replace(SAMPLE_ROOT, stateDirectory)}`
    })
    .join('\n')
}

function portsOf(text: string, id: string, file: string): { port: number; raftPort: number } {
  const { entries } = parsePropertiesFile(text)
  const port = Number(entries.get('listenPort'))
  const own = (entries.get('dLegerPeers') ?? '').split(';').find(peer => peer.startsWith(`${id}-`))
  const raftPort = Number(own?.slice(own.lastIndexOf(':') + 1))
  if (!Number.isInteger(port) || !Number.isInteger(raftPort)) {
    throw new Error(`${file} must give listenPort, and dLegerPeers with an address for ${id}.`)
  }
  return { port, raftPort }
}
