import { readFileSync } from 'node:fs'
import t from 'tap'
import { reportKeys } from '../../src/broker/config/index.ts'
import { ConfigError, configKeys, LiveConfig } from '../../src/broker/index.ts'
import { createRealPlatform, type LogFields, type Logger } from '../../src/platform/index.ts'
import { parsePropertiesFile } from '../../src/protocol/index.ts'

const platform = createRealPlatform()
const base: [string, string][] = [['storePathRootDir', '/data/store']]

function load(entries: [string, string][], defaults = {}): LiveConfig {
  return new LiveConfig([...base, ...entries], defaults, platform)
}

function problemsOf(entries: [string, string][]): readonly string[] {
  try {
    load(entries)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}

t.test('without a file it is the single broker of DefaultCluster on port 10911', async t => {
  const { settings, values } = load([], { brokerName: 'host-1' })
  t.equal(settings.clusterName, 'DefaultCluster')
  t.equal(settings.brokerName, 'host-1')
  t.equal(settings.listenPort, 10_911)
  t.equal(settings.grouped, false)
  t.equal(settings.peers.length, 1)
  t.equal(settings.syncFlush, true)
  t.equal(values.autoCreateTopicEnable, true)
  t.equal(settings.delayLevelsMs.length, 18)
  t.equal(settings.delayLevelsMs[17], 7_200_000)
})

t.test("the original's DLedger file makes a member of a group", async t => {
  const text = `brokerClusterName = RaftCluster
brokerName=RaftNode00
listenPort=30921
namesrvAddr=127.0.0.1:9876
storePathRootDir=/tmp/rmqstore/node01
storePathCommitLog=/tmp/rmqstore/node01/commitlog
enableDLegerCommitLog=true
dLegerGroup=RaftNode00
dLegerPeers=n0-127.0.0.1:40911;n1-127.0.0.1:40912;n2-127.0.0.1:40913
## must be unique
dLegerSelfId=n1
sendMessageThreadPoolNums=16
`
  const config = new LiveConfig(parsePropertiesFile(Buffer.from(text)).entries, {}, platform)
  const { settings } = config
  t.strictSame(config.unknown, [])
  t.equal(settings.raftGroup, 'RaftNode00')
  t.equal(settings.selfId, 'n1')
  t.equal(settings.followerBrokerId, 2)
  t.strictSame(settings.peers[2], { id: 'n2', host: '127.0.0.1', port: 40_913 })
  t.strictSame(settings.nameServers, ['127.0.0.1:9876'])
})

t.test('a bad value is refused with the key, the value and what is allowed', async t => {
  t.strictSame(problemsOf([['flushDiskType', 'SYNC']]), [
    'flushDiskType = SYNC: use one of SYNC_FLUSH, ASYNC_FLUSH'
  ])
  t.strictSame(problemsOf([['listenPort', '70000']]), [
    'listenPort = 70000: use a whole number from 0 to 65535'
  ])
  t.strictSame(problemsOf([['serverCallbackExecutorThreads', '-1']]), [], 'nothing depends on it')
  t.match(problemsOf([['serverCallbackExecutorThreads', 'many']])[0], /use a whole number/)
  t.strictSame(problemsOf([['autoCreateTopicEnable', 'yes']]), [
    'autoCreateTopicEnable = yes: use true or false'
  ])
  t.equal(
    problemsOf([
      ['maxMessageSize', '4m'],
      ['defaultTopicQueueNums', '0']
    ]).length,
    2,
    'all of them at once'
  )
})

t.test('contradictions are refused in words', async t => {
  t.match(problemsOf([['brokerRole', 'SLAVE']])[0], /brokerRole = SLAVE.*enableDLegerCommitLog/)
  t.match(
    problemsOf([
      ['enableDLegerCommitLog', 'true'],
      ['dLegerGroup', 'g'],
      ['dLegerPeers', 'n0-127.0.0.1:40911'],
      ['dLegerSelfId', 'n7']
    ])[0],
    /dLegerSelfId = n7: use one of n0/
  )
  t.match(
    problemsOf([
      ['enableDLegerCommitLog', 'true'],
      ['dLegerGroup', 'g'],
      ['dLegerPeers', 'n0:127.0.0.1']
    ])[0],
    /n0-host:port/
  )
  t.match(problemsOf([['messageDelayLevel', '1s 5x']])[0], /messageDelayLevel = 1s 5x/)
  t.match(problemsOf([['namesrvAddr', 'localhost']])[0], /namesrvAddr = localhost/)
  t.match(problemsOf([['deleteWhen', '25']])[0], /deleteWhen = 25/)
})

t.test('unknown keys are named and do not stop the start', async t => {
  const config = load([
    ['flushDiskTyp', 'SYNC_FLUSH'],
    ['brokerpermission', '6']
  ])
  t.strictSame(config.unknown, ['flushDiskTyp', 'brokerpermission'])
})

/** What a broker with this file says of it at its start. */
function reported(entries: [string, string][]): string[] {
  const lines: string[] = []
  const write =
    (level: string) =>
    (text: string, fields: LogFields = {}): void => {
      lines.push(`${level} ${text}${'keys' in fields ? `: ${fields['keys']}` : ''}`)
    }
  const logger: Logger = {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error')
  }
  reportKeys(load(entries), logger)
  return lines
}

t.test('a key that nobody knows may be a typing error, and is told as such', async t => {
  t.strictSame(
    reported([
      ['flushDiskTyp', 'SYNC_FLUSH'],
      ['brokerpermission', '6'],
      ['enableDLedgerCommitLog', 'true'],
      ['somethingElse', '1'],
      ['usetls', 'true'],
      ['noTLS', 'true'],
      ['x'.repeat(10_000), '1']
    ]),
    [
      'warn Unknown key in the configuration: flushDiskTyp; did you mean flushDiskType?',
      'warn Unknown key in the configuration: brokerpermission; did you mean brokerPermission?',
      'warn Unknown key in the configuration: enableDLedgerCommitLog; did you mean enableDLegerCommitLog?',
      'warn Unknown key in the configuration: somethingElse',
      'warn Unknown key in the configuration: usetls; did you mean useTLS?',
      'warn Unknown key in the configuration: noTLS',
      `warn Unknown key in the configuration: ${'x'.repeat(10_000)}`
    ]
  )
})

t.test(
  'what makes no difference is told in one line, what is not there with its reason',
  async t => {
    t.strictSame(
      reported([
        ['sendMessageThreadPoolNums', '16'],
        ['lockInStrictMode', 'true'],
        ['pullMessageThreadPoolNums', '20'],
        ['brokerElectionPriority', '-1'],
        ['readAheadCacheSizeThresholdRate', '0.5'],
        ['aclEnable', 'true'],
        ['enableControllerMode', 'true'],
        ['enableSlaveActingMaster', 'false'],
        ['metricsExporterType', 'PROM'],
        ['maxMessageSize', '1024']
      ]),
      [
        'warn Not honoured: aclEnable. Access control is not built yet.',
        'warn Not honoured: enableControllerMode. The members of a Raft group elect their leader.',
        'warn Not honoured: metricsExporterType. There is no exporter of metrics; see mqadmin brokerStatus and statsAll.',
        'info Keys that make no difference here: sendMessageThreadPoolNums lockInStrictMode brokerElectionPriority readAheadCacheSizeThresholdRate'
      ]
    )
    t.strictSame(reported([]), [])
    const changed = load([]).update([
      ['lockInStrictMode', 'true'],
      ['coldDataFlowControlEnable', 'true'],
      ['enableRocksDBLog', 'false']
    ])
    t.match(changed, {
      applied: [],
      atNextStart: [],
      withoutEffect: ['lockInStrictMode', 'coldDataFlowControlEnable'],
      unknown: []
    })
  }
)

t.test('secrets that nothing needs are shown to nobody', async t => {
  const config = load([
    ['initAuthenticationUser', '{"username":"me","password":"hunter2"}'],
    ['objectStoreSecretKey', 'hunter2']
  ])
  const lines = config.lines()
  t.notMatch(lines, 'hunter2')
  t.match(lines, 'objectStoreSecretKey=***\n')
  t.match(lines, 'objectStoreAccessKey=\n')
})

t.test('every key of the original is known', async t => {
  const recorded = readFileSync('test/vectors/mqadmin/getBrokerConfig.txt', 'utf8')
  const entries = [...recorded.matchAll(/^(\w+) += (.*)$/gm)].map(
    ([, name, value]) => [name!, value!.trim()] as const
  )
  t.ok(entries.length > 170)
  t.strictSame(new LiveConfig(entries, {}, platform).unknown, [], 'as a broker of 4.9.7 shows it')
  for (const version of ['4.9.8', '5.3.3']) {
    const names = readFileSync(`test/vectors/config/keys-${version}.txt`, 'utf8').trim().split('\n')
    t.ok(names.length > 180)
    t.strictSame(
      names.filter(name => !Object.hasOwn(configKeys, name)),
      [],
      version
    )
  }
})

t.test('values change at run time, those of the start only wait for it', async t => {
  const config = load([])
  const told: string[][] = []
  config.onChange(changed => told.push([...changed]))
  const result = config.update([
    ['maxMessageSize', '1024'],
    ['brokerPermission', '4'],
    ['listenPort', '12000'],
    ['noSuchKey', '1']
  ])
  t.strictSame(result, {
    applied: ['maxMessageSize', 'brokerPermission'],
    atNextStart: ['listenPort'],
    withoutEffect: [],
    unknown: ['noSuchKey'],
    changed: new Map([
      ['maxMessageSize', '1024'],
      ['brokerPermission', '4'],
      ['listenPort', '12000']
    ])
  })
  t.strictSame(told, [['maxMessageSize', 'brokerPermission']])
  t.equal(config.values.maxMessageSize, 1_024)
  t.equal(config.settings.permission, 4)
  t.equal(config.settings.listenPort, 10_911, 'the open port stays')
  t.equal(config.version.counter, 1)
})

t.test('a change that is not allowed changes nothing', async t => {
  const config = load([])
  t.throws(() => config.update([['configBlackList', '']]), { code: 'LMQ_CONFIG_FORBIDDEN' })
  t.throws(
    () =>
      config.update([
        ['brokerPermission', '4'],
        ['maxMessageSize', '-1']
      ]),
    { code: 'LMQ_CONFIG' }
  )
  t.equal(config.settings.permission, 6)
  t.equal(config.version.counter, 0)
})

t.test(
  'all keys are printed as lines, with the present role in place of the configured one',
  async t => {
    const lines = load([]).lines({ brokerRole: 'SYNC_MASTER' }).trimEnd().split('\n')
    t.equal(lines.length, Object.keys(configKeys).length)
    t.ok(lines.includes('brokerRole=SYNC_MASTER'))
    t.ok(lines.includes('maxMessageSize=4194304'))
    t.ok(
      lines.every((line, i) => i === 0 || line > lines[i - 1]!),
      'sorted by name'
    )
  }
)

t.test('shares of a full disk are kept within what the original takes', async t => {
  const shares = (force: string, full: string): readonly number[] => {
    const { settings } = load([
      ['diskSpaceCleanForciblyRatio', force],
      ['diskSpaceWarningLevelRatio', full]
    ])
    return [settings.diskForcePercent, settings.diskFullPercent]
  }
  t.strictSame(shares('60', '70'), [60, 70])
  t.strictSame(shares('100', '100'), [85, 90])
  t.strictSame(shares('1', '1'), [30, 35])
})

t.test('a name in brokerIP1 is published, and an address stands in message ids', async t => {
  const { settings } = load([['brokerIP1', 'leader.example']])
  t.equal(settings.publicHost, 'leader.example')
  t.match(settings.storeAddress, /^[0-9.]+$|:/)
  t.equal(load([['brokerIP1', '10.1.2.3']]).settings.storeAddress, '10.1.2.3')
})
