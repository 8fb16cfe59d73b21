process.env['TZ'] = 'UTC'

import t from 'tap'
import { COMMANDS, runMqadmin } from '../../src/admin/index.ts'
import { compareText } from '../../src/client/index.ts'
import { RequestCode, response } from '../../src/protocol/index.ts'
import { RecordedServer, recordedAnswer, recordedOutput, recordedWords } from './recordedServer.ts'

interface Run {
  status: number
  out: string
  err: string
}

async function run(
  server: RecordedServer,
  words: readonly string[],
  env: Record<string, string> = {}
): Promise<Run> {
  let out = ''
  let err = ''
  const status = await runMqadmin(words, {
    stdout: text => {
      out += text
    },
    stderr: text => {
      err += text
    },
    env,
    platform: server.platform
  })
  return { status, out, err }
}

async function started(test: Tap): Promise<RecordedServer> {
  const server = new RecordedServer()
  await server.start()
  test.teardown(() => server.stop())
  return server
}

type Tap = Pick<typeof t, 'teardown'>

/** Commands whose recorded output can be made again from one set of recorded answers. */
const EXACT: Record<string, (server: RecordedServer) => void> = {
  topicRoute: () => {},
  topicStatus: server => server.play(RequestCode.GET_TOPIC_STATS_INFO, 0),
  topicClusterList: () => {},
  topicList: server => server.play(RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER, 1),
  updateTopic: () => {},
  'updateTopic-broker': server => server.play(RequestCode.UPDATE_AND_CREATE_TOPIC, 0),
  updateTopicPerm: server => {
    server.play(RequestCode.GET_ROUTEINFO_BY_TOPIC, 9)
    server.play(RequestCode.UPDATE_AND_CREATE_TOPIC, 0)
  },
  deleteTopic: () => {},
  updateSubGroup: () => {},
  deleteSubGroup: server => {
    server.on(RequestCode.DELETE_TOPIC_IN_BROKER, () => response(0))
    server.on(RequestCode.DELETE_TOPIC_IN_NAMESRV, () => response(0))
  },
  'consumerProgress-g': server => server.play(RequestCode.GET_ROUTEINFO_BY_TOPIC, 8),
  brokerStatus: server => server.play(RequestCode.GET_BROKER_RUNTIME_INFO, 2),
  'clusterList-m': server => server.play(RequestCode.GET_BROKER_RUNTIME_INFO, 1),
  updateKvConfig: () => {},
  deleteKvConfig: () => {},
  wipeWritePerm: () => {},
  addWritePerm: () => {},
  cleanExpiredCQ: () => {},
  cleanUnusedTopic: () => {},
  updateOrderConf: () => {},
  allocateMQ: () => {},
  queryCq: () => {},
  queryMsgByKey: server => server.play(RequestCode.QUERY_MESSAGE, 1),
  getConsumerConfig: server => {
    server.play(RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG, 3)
  }
}

for (const [name, prepare] of Object.entries(EXACT)) {
  t.test(`${name} prints what the original prints from the same answers`, async t => {
    const server = await started(t)
    prepare(server)
    const { status, out, err } = await run(server, recordedWords(name))
    t.equal(err, '')
    t.equal(status, 0)
    t.equal(out, recordedOutput(name))
  })
}

t.test('clusterList prints the columns of the original', async t => {
  const server = await started(t)
  server.play(RequestCode.GET_BROKER_RUNTIME_INFO, 2)
  const { status, out } = await run(server, recordedWords('clusterList'))
  t.equal(status, 0)
  const [titles, ...rows] = recordedOutput('clusterList').trimEnd().split('\n')
  const [ourTitles, ...ourRows] = out.trimEnd().split('\n')
  t.equal(ourTitles, titles)
  // The hour of the day of recording is in them; all else is the same.
  const withoutHour = (row: string): string => row.replace(/\d+\.\d\d(?= 0\.1400)/, 'H')
  t.strictSame(ourRows.map(withoutHour), rows.map(withoutHour))
})

t.test(
  'a configuration is printed line by line as the original does, in the order of the server',
  async t => {
    const server = await started(t)
    for (const name of ['getBrokerConfig', 'getNamesrvConfig']) {
      const { status, out } = await run(server, recordedWords(name))
      t.equal(status, 0)
      const lines = (text: string): string[] => text.trimEnd().split('\n')
      const [head, ...rows] = lines(recordedOutput(name))
      const [ourHead, ...ourRows] = lines(out)
      t.equal(ourHead, head)
      t.strictSame(ourRows.sort(compareText), rows.sort(compareText))
    }
  }
)

t.test(
  'a message found by id, offset or unique key is shown in the lines of the original',
  async t => {
    const server = await started(t)
    server.play(RequestCode.GET_ROUTEINFO_BY_TOPIC, 8)
    server.play(RequestCode.QUERY_MESSAGE, 0)
    const directory = t.testdir()
    const onlyMessage = (text: string): string =>
      text.slice(0, text.indexOf('\n\n')).replace(/Message Body Path: .*\//, 'Message Body Path: ')
    for (const name of ['queryMsgById', 'queryMsgByUniqueKey']) {
      const { out, status } = await run(server, recordedWords(name), { TMPDIR: directory })
      t.equal(status, 0)
      t.equal(onlyMessage(out), onlyMessage(recordedOutput(name)))
      // What the groups did with it: one of five was recorded.
      t.match(out, /MessageTrack \[consumerGroup=cap_group, trackType=UNKNOWN/)
      const offline =
        'MessageTrack [consumerGroup=cap_sql, trackType=NOT_ONLINE, exceptionDesc=CODE:206 DESC:the consumer group[cap_sql] not online]'
      t.ok(recordedOutput(name).includes(offline))
      t.ok(out.includes(offline))
    }
    const path = `${directory}/rocketmq/msgbodys/FD000000000000000000000000000002480D5FFD2B2766D7666C0000`
    const body = await server.platform.disk.readFile(path)
    t.equal(body.toString(), 'hello 0')
  }
)

t.test('messages are printed with all fields in the order of the original', async t => {
  const server = await started(t)
  const bounds: Record<number, [number, number]> = { 0: [0, 8], 1: [0, 9], 2: [0, 5], 3: [0, 4] }
  const edge = (at: 0 | 1) => (request: { extFields: Record<string, string> | null }) =>
    response(0, null, { offset: String(bounds[Number(request.extFields!['queueId'])]![at]) })
  server.on(RequestCode.GET_MIN_OFFSET, edge(0))
  server.on(RequestCode.GET_MAX_OFFSET, edge(1))
  server.on(RequestCode.PULL_MESSAGE, () => {
    // The message of the recorded query stands at offset 0 of queue 0.
    const body = recordedBody()
    return response(
      0,
      'FOUND',
      { nextBeginOffset: '8', minOffset: '0', maxOffset: '8', suggestWhichBrokerId: '0' },
      body
    )
  })
  const { out, status } = await run(server, recordedWords('consumeMessage'))
  t.equal(status, 0)
  t.equal(out, recordedOutput('consumeMessage'))
  const printed = await run(server, [
    ...'printMsgByQueue -t CapTopic -a RaftNode00 -i 0 -p true -f true'.split(' '),
    '-n',
    'a:1'
  ])
  const [first, count] = printed.out.split('\n')
  t.equal(first, recordedOutput('printMsgByQueue').split('\n')[0])
  t.equal(count, 'Tag: TagA                           Count: 1')
})

function recordedBody(): Buffer {
  return recordedAnswer(RequestCode.VIEW_MESSAGE_BY_ID, 0).body!
}

t.test(
  'offsets of a group without members are set one by one, and shown as the original shows them',
  async t => {
    const server = await started(t)
    const offsets = [8, 8, 5, 4]
    server.on(RequestCode.GET_CONSUME_STATS, () => {
      const rows = offsets.map((broker, queueId) => {
        const consumer = [4, 5, 2, 2][queueId]
        const key = `{"brokerName":"RaftNode00","queueId":${queueId},"topic":"CapTopic"}`
        return `${key}:{"brokerOffset":${broker},"consumerOffset":${consumer},"lastTimestamp":0}`
      })
      return response(
        0,
        null,
        null,
        Buffer.from(`{"consumeTps":0.0,"offsetTable":{${rows.join(',')}}}`)
      )
    })
    server.on(RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, () => response(0, null, { offset: '0' }))
    server.on(RequestCode.UPDATE_CONSUMER_OFFSET, () => response(0))
    const { out, status } = await run(server, recordedWords('resetOffsetByTime'))
    t.equal(status, 0)
    t.equal(out, recordedOutput('resetOffsetByTime'))
    const set = server.requests.filter(r => r.code === RequestCode.UPDATE_CONSUMER_OFFSET)
    t.strictSame(
      set.map(r => `${r.extFields!['queueId']}:${r.extFields!['commitOffset']}`).sort(compareText),
      ['0:0', '1:0', '2:0', '3:0']
    )
  }
)

t.test('topicList -c, statsAll and brokerConsumeStats print the rows of the original', async t => {
  const server = await started(t)
  server.play(RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER, 1)
  server.play(RequestCode.GET_ROUTEINFO_BY_TOPIC, 0)
  server.play(RequestCode.QUERY_TOPIC_CONSUME_BY_WHO, 1)
  const list = await run(server, recordedWords('topicList-c'))
  t.equal(list.out, recordedOutput('topicList-c'))

  server.play(RequestCode.VIEW_BROKER_STATS_DATA, 2)
  const stats = await run(server, recordedWords('statsAll'))
  const lines = recordedOutput('statsAll').split('\n')
  t.equal(stats.out.split('\n')[0], lines[0])
  const ours = stats.out.split('\n').find(line => line.startsWith('TBW102'))
  t.equal(
    ours,
    lines.find(line => line.startsWith('TBW102'))
  )

  const consume = await run(server, recordedWords('brokerConsumeStats'))
  const sorted = (text: string): string[] => text.split('\n').sort(compareText)
  t.strictSame(sorted(consume.out), sorted(recordedOutput('brokerConsumeStats')))
})

t.test('a failure is one sentence on stderr and exit status 1, without a stack', async t => {
  const server = await started(t)
  server.on(RequestCode.GET_ROUTEINFO_BY_TOPIC, request =>
    response(
      17,
      `No topic route info in name server for the topic: ${request.extFields!['topic']}\nSee elsewhere`
    )
  )
  const missing = await run(server, recordedWords('noTopic'))
  t.equal(missing.status, 1)
  t.equal(missing.out, '')
  t.equal(
    missing.err,
    'mqadmin topicRoute: No topic route info in name server for the topic: NoSuchTopic (code 17 from 127.0.0.1:9876)\n'
  )
  const group = await run(server, 'updateSubGroup -c Nowhere -g G -n 127.0.0.1:9876'.split(' '))
  t.equal(group.status, 1)
  t.equal(
    group.err,
    'mqadmin updateSubGroup: the cluster Nowhere is unknown to the name server (known: RaftCluster)\n'
  )
})

t.test('an unreachable name server is named, and no name server at all is said so', async t => {
  const server = await started(t)
  await server.stop()
  const unreachable = await run(server, ['topicList', '-n', '127.0.0.1:1'])
  t.equal(unreachable.status, 1)
  t.match(unreachable.err, /^mqadmin topicList: no name server answers \(127\.0\.0\.1:1\): .*\n$/)
  t.equal(unreachable.err.split('\n').length, 2)
  const none = await run(server, ['topicList'])
  t.equal(none.status, 1)
  t.match(none.err, /give -n host:port or set NAMESRV_ADDR/)
})

t.test('a missing option shows the usage of the original and exits with 1', async t => {
  const server = await started(t)
  const { status, out, err } = await run(server, recordedWords('missingopt'))
  t.equal(status, 1)
  t.equal(out, recordedOutput('missingopt'))
  t.equal(err, 'mqadmin topicRoute: the option -t (--topic) is missing\n')
  t.strictSame(server.requests, [])
  for (const words of [
    ['topicRoute', '-t', 'T', '-z'],
    ['updateTopic', '-t', 'T', '-n', 'a:1'],
    ['updateTopic', '-t', 'T', '-b', 'a:1', '-c', 'C'],
    ['updateTopic', '-t', 'T', '-b', 'a:1', '-r', 'many', '-n', 'a:1']
  ]) {
    const bad = await run(server, words)
    t.equal(bad.status, 1, words.join(' '))
    t.match(bad.out, /^usage: mqadmin /)
    t.equal(bad.err.split('\n').length, 2)
  }
})

t.test(
  'NAMESRV_ADDR stands in for -n, names are taken without regard to case, help explains',
  async t => {
    const server = await started(t)
    const env = { NAMESRV_ADDR: '127.0.0.1:9876' }
    const clusters = await run(server, ['TOPICCLUSTERLIST', '-t', 'CapTopic'], env)
    t.equal(clusters.out, 'RaftCluster\n')
    const overview = await run(server, [])
    t.equal(overview.status, 0)
    for (const command of COMMANDS) {
      t.match(overview.out, new RegExp(`^   ${command.name} `, 'm'))
      const help = await run(server, ['help', command.name])
      const asked = await run(server, [command.name, '-h'])
      t.equal(help.status, 0)
      t.equal(help.out, asked.out)
      t.ok(help.out.startsWith(`usage: mqadmin ${command.name} `))
      t.notOk(
        help.out.split('\n').some(line => line.length > 110),
        `${command.name} fits`
      )
    }
    const unknown = await run(server, ['noSuchCommand'])
    t.equal(unknown.status, 1)
    t.equal(unknown.err, 'The sub command noSuchCommand not exist.\n')
  }
)
