import type { Platform } from '../../platform/index.ts'
import { encodeAddress } from '../../protocol/index.ts'
import { parseDelayLevels } from './delayLevels.ts'
import { ConfigError } from './parse.ts'
import { followerBrokerId, type PeerAddress, parsePeers } from './peers.ts'
import type { ConfigValues } from './table.ts'

/** What the code uses: units resolved, texts taken apart. Replaced as a whole when a key changes at run time. */
export interface Settings {
  readonly clusterName: string
  readonly brokerName: string
  /** `brokerIP1`, which clients connect to. */
  readonly publicHost: string
  /** Numeric: stands in message ids. `publicHost`, or when that is a name an address of this host. */
  readonly storeAddress: string
  /** Host part of `haServerAddr`; told to name servers, opened by nobody. */
  readonly haHost: string
  readonly listenHost: string
  readonly listenPort: number
  readonly nameServers: readonly string[]
  readonly permission: number
  readonly grouped: boolean
  readonly raftGroup: string
  readonly selfId: string
  readonly peers: readonly PeerAddress[]
  readonly preferredLeaderId: string | null
  /** Shown while this node does not lead. */
  readonly followerBrokerId: number
  readonly rootDirectory: string
  readonly logDirectory: string
  readonly segmentBytes: number
  readonly consumeQueueFileBytes: number
  /** A message further behind the log's end counts as old, bytes. */
  readonly memoryReachBytes: number
  readonly syncFlush: boolean
  readonly flushIntervalMs: number
  /** Hours of the day, 0 to 23. */
  readonly deleteHours: readonly number[]
  readonly fileReservedMs: number
  readonly diskMaxUsedRatio: number
  /** From it on the oldest segments go whatever their age. */
  readonly diskForcePercent: number
  /** From it on sends are refused. */
  readonly diskFullPercent: number
  /** Delays in ms, level 1 first. */
  readonly delayLevelsMs: readonly number[]
  readonly registerPeriodMs: number
  readonly registerTimeoutMs: number
  readonly idleMs: number
  readonly shutdownGraceMs: number
  readonly traceOn: string
  readonly regionId: string
}

const registerPeriodMinMs = 10_000
const registerPeriodMaxMs = 60_000
const msPerHour = 3_600_000

function localHost(platform: Platform): string {
  const addresses = platform.network.hostAddresses()
  const v4 = addresses.filter(address => !address.includes(':'))
  // broker.md 2.1: the first that begins neither with 127.0 nor with 192.168, else the last IPv4 one, else the first IPv6 one.
  return (
    v4.find(address => !address.startsWith('127.0') && !address.startsWith('192.168')) ??
    v4.at(-1) ??
    addresses[0] ??
    '127.0.0.1'
  )
}

function isNumeric(host: string): boolean {
  try {
    encodeAddress(host)
    return true
  } catch {
    return false
  }
}

function nameServers(text: string, problems: string[]): string[] {
  const servers: string[] = []
  for (const part of text.split(';')) {
    const address = part.trim()
    if (address === '') continue
    const port = Number(address.slice(address.lastIndexOf(':') + 1))
    if (address.lastIndexOf(':') < 1 || !Number.isInteger(port) || port < 1 || port > 65_535) {
      problems.push(
        `namesrvAddr = ${text}: use host:port separated by ";", such as 127.0.0.1:9876;192.168.0.1:9876`
      )
      return []
    }
    if (!servers.includes(address)) servers.push(address)
  }
  return servers
}

function hours(text: string, problems: string[]): number[] {
  const list = text
    .split(';')
    .map(part => part.trim())
    .filter(part => part !== '')
    .map(Number)
  if (list.length === 0 || list.some(hour => !Number.isInteger(hour) || hour < 0 || hour > 23)) {
    problems.push(`deleteWhen = ${text}: use hours from 00 to 23 separated by ";"`)
    return []
  }
  return list
}

const nameText = /^[%|a-zA-Z0-9_-]+$/

function checkName(key: string, value: string, problems: string[]): void {
  // Both become topic names (broker.md 2.8), so a topic's rules hold.
  if (!nameText.test(value) || value.length > 127)
    problems.push(`${key} = ${value}: use up to 127 of the characters a-z A-Z 0-9 _ - % |`)
}

function members(values: ConfigValues, problems: string[]): PeerAddress[] {
  if (!values.enableDLegerCommitLog) return [{ id: 'n0', host: '127.0.0.1', port: 0 }]
  const peers = parsePeers(values.dLegerPeers)
  if (typeof peers === 'string') {
    problems.push(
      `dLegerPeers = ${values.dLegerPeers}: ${peers}; use n0-host:port;n1-host:port;… as enableDLegerCommitLog is true`
    )
    return []
  }
  const ids = peers.map(peer => peer.id).join(', ')
  if (!peers.some(peer => peer.id === values.dLegerSelfId))
    problems.push(
      `dLegerSelfId = ${values.dLegerSelfId}: use one of ${ids}, as dLegerPeers names them`
    )
  if (values.preferredLeaderId !== '' && !peers.some(peer => peer.id === values.preferredLeaderId))
    problems.push(
      `preferredLeaderId = ${values.preferredLeaderId}: use one of ${ids}, or leave it out`
    )
  return peers
}

/** Resolves what the values say; throws ConfigError with every contradiction at once. */
export function compileSettings(values: ConfigValues, platform: Platform): Settings {
  const problems: string[] = []
  const grouped = values.enableDLegerCommitLog
  const raftGroup = values.dLegerGroup.trim() || values.brokerName || 'broker-a'
  if (grouped && values.dLegerGroup.trim() === '')
    problems.push(
      'dLegerGroup is missing: enableDLegerCommitLog = true needs the name of the group'
    )
  if (!grouped && values.brokerRole === 'SLAVE')
    problems.push(
      'brokerRole = SLAVE: a follower is a member of a Raft group here; set enableDLegerCommitLog, dLegerGroup, dLegerPeers and dLegerSelfId'
    )
  // In a group all members must have one broker name; host names would differ.
  const brokerName = values.brokerName !== '' ? values.brokerName : grouped ? raftGroup : 'broker-a'
  checkName('brokerName', brokerName, problems)
  checkName('brokerClusterName', values.brokerClusterName, problems)
  const peers = members(values, problems)
  const delayLevelsMs = parseDelayLevels(values.messageDelayLevel)
  if (delayLevelsMs === null)
    problems.push(
      `messageDelayLevel = ${values.messageDelayLevel}: use numbers with s, m, h or d separated by blanks, such as 1s 5s 10m`
    )
  if (values.storePathRootDir.trim() === '')
    problems.push('storePathRootDir is missing: name the directory for everything that is stored')
  if (values.storePathCommitLog.includes(','))
    problems.push(`storePathCommitLog = ${values.storePathCommitLog}: use one directory`)
  const publicHost = values.brokerIP1 !== '' ? values.brokerIP1 : localHost(platform)
  const settings: Settings = {
    clusterName: values.brokerClusterName,
    brokerName,
    publicHost,
    storeAddress: isNumeric(publicHost) ? publicHost : localHost(platform),
    haHost: values.brokerIP2 !== '' ? values.brokerIP2 : publicHost,
    listenHost: values.bindAddress,
    listenPort: values.listenPort,
    nameServers: nameServers(values.namesrvAddr, problems),
    permission: values.brokerPermission,
    grouped,
    raftGroup,
    selfId: grouped ? values.dLegerSelfId : 'n0',
    peers,
    preferredLeaderId: values.preferredLeaderId === '' ? null : values.preferredLeaderId,
    followerBrokerId: grouped ? followerBrokerId(values.dLegerSelfId) : 1,
    rootDirectory: values.storePathRootDir,
    logDirectory:
      values.storePathCommitLog !== ''
        ? values.storePathCommitLog
        : `${values.storePathRootDir}/commitlog`,
    segmentBytes: values.mappedFileSizeCommitLog,
    consumeQueueFileBytes: Math.ceil(values.mappedFileSizeConsumeQueue / 20) * 20,
    memoryReachBytes: Math.floor(
      (platform.host.memoryBytes() * values.accessMessageInMemoryMaxRatio) / 100
    ),
    syncFlush: values.flushDiskType === 'SYNC_FLUSH',
    flushIntervalMs: values.flushIntervalCommitLog,
    deleteHours: hours(values.deleteWhen, problems),
    fileReservedMs: values.fileReservedTime * msPerHour,
    diskMaxUsedRatio: Math.min(95, Math.max(10, values.diskMaxUsedSpaceRatio)) / 100,
    diskForcePercent: Math.min(85, Math.max(30, values.diskSpaceCleanForciblyRatio)),
    diskFullPercent: Math.min(90, Math.max(35, values.diskSpaceWarningLevelRatio)),
    delayLevelsMs: delayLevelsMs ?? [],
    registerPeriodMs: Math.min(
      registerPeriodMaxMs,
      Math.max(registerPeriodMinMs, values.registerNameServerPeriod)
    ),
    registerTimeoutMs: values.registerBrokerTimeoutMills,
    idleMs: values.serverChannelMaxIdleTimeSeconds * 1_000,
    shutdownGraceMs: values.shutdownGraceSeconds * 1_000,
    traceOn: String(values.traceOn),
    regionId: values.regionId
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return settings
}
