import { createRealPlatform, type Logger, type Platform, silentLogger } from '../platform/index.ts'
import { badArgument } from './errors.ts'

/** What every client of this package takes. Durations are ms. */
export interface ClientOptions {
  /** `host:port` of the name servers, as a list or separated by `;`. */
  nameServers: string | readonly string[]
  /** Clock, network, disk and random numbers; default: the real ones. */
  platform?: Platform
  /** Default: silence. */
  logger?: Logger
  /** Second part of the client id `<ip>@<instanceName>`; default: unique for every client. */
  instanceName?: string
  /** Header encoding of requests; servers answer both. Default JSON. */
  serialization?: 'JSON' | 'ROCKETMQ'
  /** Topics and groups are `<namespace>%<name>` at the servers, as RocketMQ's clients make them; you say and get plain names. Default none. */
  namespace?: string
  /**
   * `true`: what becomes of messages is recorded in RocketMQ's trace topic, which a broker has with `traceTopicEnable=true`;
   * a topic of your own instead by its name. Default false.
   */
  trace?: boolean | { readonly topic: string }
  /** Limit of a call to a name server or of a small call to a broker. Default 3000. */
  callTimeoutMs?: number
  /** Routes are asked for this often, and at once when a server fails. Default 30000. */
  routePollIntervalMs?: number
  /** Default 30000; brokers forget a client after 120 s of silence. */
  heartbeatIntervalMs?: number
}

/** `ClientOptions` with nothing left open. */
export interface ResolvedOptions {
  readonly nameServers: readonly string[]
  readonly platform: Platform
  readonly logger: Logger
  readonly instanceName: string | null
  readonly binaryHeaders: boolean
  /** Empty: none. */
  readonly namespace: string
  /** Null: no trace. A topic of null: RocketMQ's own. */
  readonly trace: { readonly topic: string | null } | null
  readonly callTimeoutMs: number
  readonly routePollIntervalMs: number
  readonly heartbeatIntervalMs: number
}

export function resolveOptions(options: ClientOptions): ResolvedOptions {
  return {
    nameServers: parseNameServers(options.nameServers),
    platform: options.platform ?? createRealPlatform(),
    logger: options.logger ?? silentLogger,
    instanceName: options.instanceName ?? null,
    binaryHeaders: options.serialization === 'ROCKETMQ',
    namespace: resolveNamespace(options.namespace),
    trace: resolveTrace(options.trace),
    callTimeoutMs: positive('callTimeoutMs', options.callTimeoutMs, 3_000),
    routePollIntervalMs: positive('routePollIntervalMs', options.routePollIntervalMs, 30_000),
    heartbeatIntervalMs: positive('heartbeatIntervalMs', options.heartbeatIntervalMs, 30_000)
  }
}

function resolveNamespace(namespace = ''): string {
  if (namespace !== '' && (!NAME.test(namespace) || namespace.includes('%'))) {
    throw badArgument(`the namespace "${namespace}" has characters outside [|a-zA-Z0-9_-]`)
  }
  return namespace
}

function resolveTrace(trace: ClientOptions['trace']): ResolvedOptions['trace'] {
  if (trace === undefined || trace === false) return null
  if (trace === true) return { topic: null }
  checkTopic(trace.topic)
  return { topic: trace.topic }
}

/** `a:9876;b:9876` or a list of such texts; throws when nothing usable is in it. */
export function parseNameServers(given: string | readonly string[]): readonly string[] {
  const texts = typeof given === 'string' ? [given] : given
  const addresses = texts.flatMap(text => text.split(/[;,]/)).map(text => text.trim())
  const named = addresses.filter(address => address !== '')
  if (named.length === 0) throw badArgument('no name server address was given')
  for (const address of named) {
    const port = Number(/:(\d+)$/.exec(address)?.[1] ?? Number.NaN)
    if (!(port >= 1 && port <= 65_535)) {
      throw badArgument(`the name server address "${address}" is not of the form host:port`)
    }
  }
  return [...new Set(named)]
}

/** A setting that must be a finite number from 1 on; `fallback` when it was not given. */
export function positive(name: string, value: number | undefined, fallback: number): number {
  if (value === undefined) return fallback
  if (!Number.isFinite(value) || value < 1)
    throw badArgument(`${name} must be 1 or more, not ${value}`)
  return value
}

/** A setting that must be a whole number from `least` on. */
export function whole(
  name: string,
  value: number | undefined,
  fallback: number,
  least: number
): number {
  if (value === undefined) return fallback
  if (!Number.isSafeInteger(value) || value < least) {
    throw badArgument(`${name} must be a whole number of at least ${least}, not ${value}`)
  }
  return value
}

const NAME = /^[%|a-zA-Z0-9_-]+$/

/** RocketMQ's rule for topics: remoting.md 2.3. */
export function checkTopic(topic: string): void {
  if (topic === '') throw badArgument('the topic is empty')
  if (topic.length > 127) throw badArgument('the topic is longer than 127 characters')
  if (!NAME.test(topic))
    throw badArgument(`the topic "${topic}" has characters outside [%|a-zA-Z0-9_-]`)
}

/** RocketMQ's rule for producer and consumer groups: remoting.md 4.6. */
export function checkGroup(group: string): void {
  if (group === '') throw badArgument('the group is empty')
  if (group.length > 255) throw badArgument('the group is longer than 255 characters')
  if (!NAME.test(group))
    throw badArgument(`the group "${group}" has characters outside [%|a-zA-Z0-9_-]`)
}
