import { crc32 } from 'node:zlib'
import {
  DataVersion,
  decodeRegisterBrokerBody,
  optionalBoolean,
  optionalInt,
  optionalLong,
  optionalText,
  ProtocolError,
  type QueueData,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  requiredLong,
  requiredText,
  response,
  sameDataVersion
} from '../protocol/index.ts'
import type { RequestHandler } from '../remoting/index.ts'
import type { NameServerContext } from './context.ts'
import { kvBody } from './kvHandlers.ts'
import { ORDER_TOPIC_CONFIG } from './kvTable.ts'
import { NO_VERSION, type Registration } from './routeTypes.ts'

const NAME_CHARACTERS_MAX = 255
/** Filter servers of one broker; nobody runs them any more. */
const FILTER_SERVERS_MAX = 64

/** What brokers say of themselves (broker.md 1.2, 1.3). */
export function registrationHandlers(context: NameServerContext): [number, RequestHandler][] {
  const { table, config, log } = context
  /** Refusals come again with every registration: each is logged once until another one comes. */
  const lastRefusal = new Map<string, string>()
  const lastTables = new LastTables()

  const register: RequestHandler = (request, connection) => {
    if (!crcMatches(request)) return response(ResponseCode.SYSTEM_ERROR, 'crc32 not match')
    const registration = readRegistration(request, lastTables)
    const result = table.register(registration, connection, context.nowMs())
    const { brokerName, brokerAddr, brokerId, clusterName, version } = registration
    const fields = {
      clusterName,
      brokerName,
      brokerId,
      brokerAddr,
      term: version.stateVersion,
      note: result.note
    }
    if (result.outcome === 'refused') {
      lastTables.forget(brokerAddr)
      if (lastRefusal.size >= REFUSALS_MAX) lastRefusal.clear()
      if (lastRefusal.get(brokerAddr) !== result.note) {
        lastRefusal.set(brokerAddr, result.note)
        log.warn('Broker registration refused', fields)
      }
    } else {
      lastRefusal.delete(brokerAddr)
      if (result.outcome === 'new') log.info('Broker registered', fields)
      if (result.outcome === 'changed') log.info('Broker registration changed', fields)
    }
    const header: Record<string, string> = {}
    if (result.haServerAddr !== null) header['haServerAddr'] = result.haServerAddr
    if (result.masterAddr !== null) header['masterAddr'] = result.masterAddr
    const body = config.returnOrderTopicConfigToBroker ? kvBody(context, ORDER_TOPIC_CONFIG) : null
    return response(ResponseCode.SUCCESS, null, header, body)
  }

  const unregister: RequestHandler = request => {
    const { brokerName, brokerAddr } = readIdentity(request)
    lastTables.forget(brokerAddr)
    if (table.unregister(brokerName, brokerAddr)) {
      log.info('Broker unregistered', { brokerName, brokerAddr })
    }
    return response(ResponseCode.SUCCESS)
  }

  const queryDataVersion: RequestHandler = request => {
    const { brokerName, brokerAddr } = readIdentity(request)
    const asked = request.body === null ? NO_VERSION : DataVersion.decode(request.body)
    const known = table.touch(brokerName, brokerAddr, context.nowMs())
    const changed = known === null || !sameDataVersion(known, asked)
    const body = known === null ? null : DataVersion.encode(known)
    return response(ResponseCode.SUCCESS, null, { changed: String(changed) }, body)
  }

  const heartbeat: RequestHandler = request => {
    const { brokerName, brokerAddr } = readIdentity(request)
    table.touch(brokerName, brokerAddr, context.nowMs())
    return response(ResponseCode.SUCCESS)
  }

  return [
    [RequestCode.REGISTER_BROKER, register],
    [RequestCode.UNREGISTER_BROKER, unregister],
    [RequestCode.QUERY_DATA_VERSION, queryDataVersion],
    [RequestCode.BROKER_HEARTBEAT, heartbeat]
  ]
}

const REFUSALS_MAX = 1_000

/** Over the body as sent; 0 or absent: not checked. The top bit is not used, as the sender's Java int is made positive. */
function crcMatches({ extFields, body }: RemotingCommand): boolean {
  const expected = optionalInt(extFields, 'bodyCrc32') ?? 0
  return expected === 0 || (crc32(body ?? '') & 0x7fff_ffff) === expected
}

function readIdentity({ extFields }: RemotingCommand): { brokerName: string; brokerAddr: string } {
  return {
    brokerName: requiredText(extFields, 'brokerName'),
    brokerAddr: requiredText(extFields, 'brokerAddr')
  }
}

function readRegistration(request: RemotingCommand, lastTables: LastTables): Registration {
  const { extFields } = request
  const name = (field: string, least = 1): string => {
    const value = requiredText(extFields, field)
    if (value.length < least || value.length > NAME_CHARACTERS_MAX) {
      throw new ProtocolError(
        'LMQ_BAD_HEADER',
        `${field} has ${value.length} characters, allowed are ${least} to ${NAME_CHARACTERS_MAX}`
      )
    }
    return value
  }
  const brokerId = requiredLong(extFields, 'brokerId')
  if (brokerId < 0 || !Number.isSafeInteger(brokerId)) {
    throw new ProtocolError('LMQ_BAD_HEADER', `brokerId is ${brokerId}, allowed are 0 and above`)
  }
  const optionalName = (field: string): string | null =>
    optionalText(extFields, field) === null ? null : name(field, 0)
  const timeoutMs = optionalLong(extFields, 'heartbeatTimeoutMillis')
  return {
    clusterName: name('clusterName'),
    brokerName: name('brokerName'),
    brokerAddr: name('brokerAddr'),
    brokerId,
    haServerAddr: optionalName('haServerAddr') ?? '',
    zoneName: optionalName('__ZONE_NAME'),
    enableActingMaster: optionalBoolean(extFields, 'enableActingMaster'),
    heartbeatTimeoutMs: timeoutMs !== null && timeoutMs > 0 ? timeoutMs : null,
    ...lastTables.read(request)
  }
}

type Tables = Pick<Registration, 'version' | 'topics' | 'filterServers'>

/** Bodies that are kept, all together. */
const KEPT_BYTES_MAX = 64 * 1024 * 1024
/** Smaller ones are read at once. */
const KEPT_BYTES_MIN = 4_096

/**
 * The last table of each broker, as it came and as it was read: a broker says the same every 30 s, and ten thousand topics take a tenth of
 * a second to read.
 */
class LastTables {
  readonly #byAddress = new Map<string, { body: Buffer; version: number; tables: Tables }>()
  #bytes = 0

  read(request: RemotingCommand): Tables {
    const { body, version, extFields } = request
    if (body === null || body.length < KEPT_BYTES_MIN) return readTables(request)
    const key = `${requiredText(extFields, 'brokerAddr')} ${requiredText(extFields, 'brokerName')}`
    const last = this.#byAddress.get(key)
    if (last !== undefined && last.version === version && last.body.equals(body)) return last.tables
    const tables = readTables(request)
    this.#remove(key)
    if (this.#bytes + body.length > KEPT_BYTES_MAX) return tables
    this.#byAddress.set(key, { body: Buffer.from(body), version, tables })
    this.#bytes += body.length
    return tables
  }

  forget(brokerAddr: string): void {
    for (const key of this.#byAddress.keys())
      if (key.startsWith(`${brokerAddr} `)) this.#remove(key)
  }

  #remove(key: string): void {
    this.#bytes -= this.#byAddress.get(key)?.body.length ?? 0
    this.#byAddress.delete(key)
  }
}

const ZLIB_FIRST_BYTE = 0x78

/** 5.3 brokers say `compressed` = false even when they have compressed the body: a zlib stream and JSON begin differently. */
function readTables({ extFields, body, version }: RemotingCommand): Tables {
  if (body === null) return { version: NO_VERSION, topics: null, filterServers: [] }
  const brokerName = requiredText(extFields, 'brokerName')
  const compressed =
    optionalBoolean(extFields, 'compressed') === true || body[0] === ZLIB_FIRST_BYTE
  const decoded = decodeRegisterBrokerBody(body, version, compressed)
  const { dataVersion, topicConfigTable } = decoded.topicConfigSerializeWrapper
  const topics = new Map<string, QueueData>()
  for (const [topic, { perm, readQueueNums, topicSysFlag, writeQueueNums }] of topicConfigTable) {
    checkName('a topic', topic)
    topics.set(topic, { brokerName, perm, readQueueNums, topicSysFlag, writeQueueNums })
  }
  const filterServers = decoded.filterServerList
  if (filterServers.length > FILTER_SERVERS_MAX)
    throw new ProtocolError('LMQ_BAD_BODY', `more than ${FILTER_SERVERS_MAX} filter servers`)
  for (const server of filterServers) checkName('a filter server', server)
  return { version: dataVersion, topics, filterServers }
}

function checkName(what: string, name: string): void {
  if (name.length <= NAME_CHARACTERS_MAX) return
  throw new ProtocolError(
    'LMQ_BAD_BODY',
    `the name of ${what} has ${name.length} characters, allowed are ${NAME_CHARACTERS_MAX}`
  )
}
