import t from 'tap'
import { ConfigError, configKeys, LiveConfig } from '../../src/broker/index.ts'
import { createRealPlatform } from '../../src/platform/index.ts'
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

t.test('a name in brokerIP1 is published, and an address stands in message ids', async t => {
  const { settings } = load([['brokerIP1', 'leader.example']])
  t.equal(settings.publicHost, 'leader.example')
  t.match(settings.storeAddress, /^[0-9.]+$|:/)
  t.equal(load([['brokerIP1', '10.1.2.3']]).settings.storeAddress, '10.1.2.3')
})
