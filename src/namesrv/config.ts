import { z } from 'zod'

/**
 * RocketMQ's keys of a name server (broker.md 1.9): what may stand in the file or come by UPDATE_NAMESRV_CONFIG, and the defaults. Those of
 * the original's thread pools and socket buffers are taken and shown, and have no effect here.
 */

interface Key {
  readonly schema: z.ZodType<unknown, string>
  /** For the error text: what is allowed. */
  readonly allowed: string
  readonly hasEffect: boolean
}

function text(): Key {
  return { schema: z.string(), allowed: 'any text', hasEffect: true }
}

function flag(): Key {
  const schema = z.enum(['true', 'false']).transform(value => value === 'true')
  return { schema, allowed: 'true or false', hasEffect: true }
}

function whole(min: number, max: number): Key {
  const schema = z
    .string()
    .regex(/^\d{1,15}$/)
    .transform(Number)
    .pipe(z.number().min(min).max(max))
  return { schema, allowed: `a whole number from ${min} to ${max}`, hasEffect: true }
}

function onlyFalse(): Key {
  const schema = z.literal('false').transform(() => false)
  return { schema, allowed: 'only false: it is not supported', hasEffect: true }
}

function withoutEffect(): Key {
  return { schema: z.string(), allowed: 'any text', hasEffect: false }
}

const KEYS: Readonly<Record<string, Key>> = {
  rocketmqHome: text(),
  kvConfigPath: text(),
  configStorePath: text(),
  productEnvName: text(),
  configBlackList: text(),
  bindAddress: text(),
  listenPort: whole(0, 65_535),
  serverChannelMaxIdleTimeSeconds: whole(1, 86_400),
  orderMessageEnable: flag(),
  returnOrderTopicConfigToBroker: flag(),
  scanNotActiveBrokerInterval: whole(100, 3_600_000),
  supportActingMaster: flag(),
  enableAllTopicList: flag(),
  enableTopicList: flag(),
  needWaitForService: flag(),
  waitSecondsForService: whole(0, 3_600),
  deleteTopicWithBrokerRegistration: flag(),
  clusterTest: onlyFalse(),
  notifyMinBrokerIdChanged: onlyFalse(),
  enableControllerInNamesrv: onlyFalse(),
  ...Object.fromEntries(
    [
      'serverWorkerThreads',
      'serverCallbackExecutorThreads',
      'serverSelectorThreads',
      'serverOnewaySemaphoreValue',
      'serverAsyncSemaphoreValue',
      'serverSocketSndBufSize',
      'serverSocketRcvBufSize',
      'serverSocketBacklog',
      'serverPooledByteBufAllocatorEnable',
      'serverNettyWorkerGroupEnable',
      'enableShutdownGracefully',
      'shutdownWaitTimeSeconds',
      'channelNotActiveInterval',
      'clientAsyncSemaphoreValue',
      'clientCallbackExecutorThreads',
      'clientChannelMaxIdleTimeSeconds',
      'clientCloseSocketIfTimeout',
      'clientOnewaySemaphoreValue',
      'clientPooledByteBufAllocatorEnable',
      'clientSocketRcvBufSize',
      'clientSocketSndBufSize',
      'clientWorkerThreads',
      'connectTimeoutMillis',
      'disableCallbackExecutor',
      'disableNettyWorkerGroup',
      'enableReconnectForGoAway',
      'isScanAvailableNameSrv',
      'maxReconnectIntervalTimeSeconds',
      'scanAvailableNameSrv',
      'socksProxyConfig',
      'useTLS',
      'useEpollNativeSelector',
      'writeBufferHighWaterMark',
      'writeBufferLowWaterMark',
      'clientRequestThreadPoolNums',
      'clientRequestThreadPoolQueueCapacity',
      'defaultThreadPoolNums',
      'defaultThreadPoolQueueCapacity',
      'unRegisterBrokerQueueCapacity'
    ].map(key => [key, withoutEffect()])
  )
}

/** May not be changed over the network, whatever `configBlackList` says. */
const FIXED_KEYS = ['configBlackList', 'configStorePath', 'kvConfigPath', 'rocketmqHome']

/** A configuration value that cannot be used; the message names key, value and what is allowed. */
export class NamesrvConfigError extends Error {
  readonly code = 'LMQ_BAD_CONFIG'
  readonly retryable = false
  readonly key: string

  constructor(key: string, value: string, allowed: string) {
    super(`${key} = ${value}: use ${allowed}`)
    this.name = 'NamesrvConfigError'
    this.key = key
  }
}

export interface NamesrvHome {
  /** Home directory of the user: the default paths lie below it. */
  userHome: string
  /** ROCKETMQ_HOME; '' when not set. */
  rocketmqHome: string
  /** The file that the entries came from: changes are written back to it. */
  configFile?: string | undefined
}

/** Typed configuration of one name server; changes at run time through `update`. */
export class NamesrvConfig {
  readonly #values = new Map<string, unknown>()
  /** Keys of the file that mean nothing to a name server. */
  readonly unknownKeys: readonly string[]
  /** Keys of the file that are RocketMQ's and have no effect here. */
  readonly keysWithoutEffect: readonly string[]

  private constructor(home: NamesrvHome, entries: ReadonlyMap<string, string>) {
    const defaults: Record<string, unknown> = {
      rocketmqHome: home.rocketmqHome,
      kvConfigPath: `${home.userHome}/namesrv/kvConfig.json`,
      configStorePath: home.configFile ?? `${home.userHome}/namesrv/namesrv.properties`,
      productEnvName: 'center',
      clusterTest: false,
      orderMessageEnable: false,
      configBlackList: 'configBlackList;configStorePath;kvConfigPath',
      listenPort: 9876,
      bindAddress: '0.0.0.0',
      serverChannelMaxIdleTimeSeconds: 120,
      returnOrderTopicConfigToBroker: true,
      scanNotActiveBrokerInterval: 5_000,
      supportActingMaster: false,
      enableAllTopicList: true,
      enableTopicList: true,
      notifyMinBrokerIdChanged: false,
      enableControllerInNamesrv: false,
      needWaitForService: false,
      waitSecondsForService: 45,
      deleteTopicWithBrokerRegistration: false
    }
    for (const [key, value] of Object.entries(defaults)) this.#values.set(key, value)
    const { unknownKeys, keysWithoutEffect } = this.#take(entries)
    this.unknownKeys = unknownKeys
    this.keysWithoutEffect = keysWithoutEffect
  }

  /** `entries` as read from a properties file. Throws NamesrvConfigError for the first bad value. */
  static parse(entries: ReadonlyMap<string, string>, home: NamesrvHome): NamesrvConfig {
    return new NamesrvConfig(home, entries)
  }

  get listenPort(): number {
    return this.#number('listenPort')
  }

  /** undefined: all addresses. */
  get bindAddress(): string | undefined {
    const address = this.#text('bindAddress')
    return address === '' || address === '0.0.0.0' ? undefined : address
  }

  get idleMs(): number {
    return this.#number('serverChannelMaxIdleTimeSeconds') * 1_000
  }

  get kvConfigPath(): string {
    return this.#text('kvConfigPath')
  }

  get configStorePath(): string {
    return this.#text('configStorePath')
  }

  get orderMessageEnable(): boolean {
    return this.#flag('orderMessageEnable')
  }

  get returnOrderTopicConfigToBroker(): boolean {
    return this.#flag('returnOrderTopicConfigToBroker')
  }

  get scanIntervalMs(): number {
    return this.#number('scanNotActiveBrokerInterval')
  }

  get supportActingMaster(): boolean {
    return this.#flag('supportActingMaster')
  }

  get enableAllTopicList(): boolean {
    return this.#flag('enableAllTopicList')
  }

  get enableTopicList(): boolean {
    return this.#flag('enableTopicList')
  }

  /** For so long after the start routes are not answered, so that brokers can register first; 0: at once. */
  get serviceDelayMs(): number {
    return this.#flag('needWaitForService') ? this.#number('waitSecondsForService') * 1_000 : 0
  }

  get deleteMissingTopics(): boolean {
    return this.#flag('deleteTopicWithBrokerRegistration')
  }

  /** The first key that may not be changed over the network; null: all may. */
  refusedKey(entries: ReadonlyMap<string, string>): string | null {
    const listed = this.#text('configBlackList').split(';')
    for (const key of entries.keys()) {
      if (FIXED_KEYS.includes(key) || listed.includes(key)) return key
    }
    return null
  }

  /** All or nothing: throws NamesrvConfigError for a bad value. Answers the keys that mean nothing here. */
  update(entries: ReadonlyMap<string, string>): readonly string[] {
    return this.#take(entries).unknownKeys
  }

  /** All keys and values as text, in the form of the file. */
  entries(): Map<string, string> {
    return new Map([...this.#values].map(([key, value]) => [key, String(value)]))
  }

  #take(entries: ReadonlyMap<string, string>): {
    unknownKeys: string[]
    keysWithoutEffect: string[]
  } {
    const unknownKeys: string[] = []
    const keysWithoutEffect: string[] = []
    const taken: [string, unknown][] = []
    for (const [name, raw] of entries) {
      const value = raw.trim()
      const key = Object.hasOwn(KEYS, name) ? KEYS[name] : undefined
      if (key === undefined) {
        unknownKeys.push(name)
        continue
      }
      const parsed = key.schema.safeParse(value)
      if (!parsed.success) throw new NamesrvConfigError(name, value, key.allowed)
      if (!key.hasEffect) keysWithoutEffect.push(name)
      taken.push([name, parsed.data])
    }
    for (const [name, value] of taken) this.#values.set(name, value)
    return { unknownKeys, keysWithoutEffect }
  }

  #text(key: string): string {
    return this.#values.get(key) as string
  }

  #number(key: string): number {
    return this.#values.get(key) as number
  }

  #flag(key: string): boolean {
    return this.#values.get(key) as boolean
  }
}
