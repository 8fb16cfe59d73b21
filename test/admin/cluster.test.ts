process.env['TZ'] = 'UTC'

import t from 'tap'
import { runMqadmin, runQuickstart } from '../../src/admin/index.ts'
import { PushConsumer } from '../../src/client/index.ts'
import { createRealPlatform } from '../../src/platform/index.ts'
import { Collector, startCluster, until } from '../client/cluster.ts'

const platform = createRealPlatform()

t.test('mqadmin and the quick start against a real cluster (1 broker)', async t => {
  const cluster = await startCluster(t, 1)
  const { address } = await cluster.settled()
  const directory = t.testdir()
  const env = { NAMESRV_ADDR: cluster.nameServer, TMPDIR: directory }

  const run = async (line: string): Promise<{ status: number; out: string; err: string }> => {
    let out = ''
    let err = ''
    const status = await runMqadmin(line.split(' '), {
      stdout: text => {
        out += text
      },
      stderr: text => {
        err += text
      },
      env,
      platform
    })
    return { status, out, err }
  }
  /** The output of a command that must succeed. */
  const output = async (line: string): Promise<string> => {
    const { status, out, err } = await run(line)
    t.equal(err, '', line)
    t.equal(status, 0, line)
    return out
  }

  t.test('topics are made, shown, changed and deleted', async t => {
    t.equal(
      await output('updateTopic -c C -t Admin -r 2 -w 2'),
      `create topic to ${address} success.\nTopicConfig [topicName=Admin, readQueueNums=2, writeQueueNums=2, perm=RW-, topicFilterType=SINGLE_TAG, topicSysFlag=0, order=false]`
    )
    await until(() => cluster.leader().topics.find('Admin') !== undefined)
    await known('Admin')
    t.match(await output('topicRoute -t Admin'), /"writeQueueNums":2/)
    t.match(await output('topicRoute -t Admin -l'), /\nTotal: +1 +2 +2 +\n$/)
    t.equal(await output('topicClusterList -t Admin'), 'C\n')
    t.match(await output('topicList'), /^Admin$/m)
    t.match(await output('topicList -c'), /^C {21}Admin +$/m)
    t.match(await output('topicStatus -t Admin'), /^b +0 +0 +0 +\nb +1 +0 +0 +$/m)
    t.equal(
      await output('updateTopicPerm -c C -t Admin -p 4'),
      `update topic perm from 6 to 4 in ${address} success.\n`
    )
    t.match(
      await output('deleteTopic -c C -t Admin'),
      'delete topic [Admin] from cluster [C] success.\ndelete topic [Admin] from NameServer success.\n'
    )
    const gone = await run('topicRoute -t Admin')
    t.equal(gone.status, 1)
    t.match(gone.err, /^mqadmin topicRoute: No topic route info.* \(code 17 from .*\)\n$/)
  })

  t.test('messages are sent, found by every key and printed', async t => {
    await cluster.topic('Find', 1)
    const sent = await output('sendMessage -t Find -p hello -k key1 -c tag1')
    const uniqueKey = /b +0 +SEND_OK +([0-9A-F]{32})\n$/.exec(sent)?.[1] ?? ''
    t.match(uniqueKey, /^[0-9A-F]{32}$/)
    t.match(await output('queryMsgByKey -t Find -k key1'), new RegExp(`^${uniqueKey} +0 +0\n`, 'm'))
    const found = await output(`queryMsgByUniqueKey -t Find -i ${uniqueKey}`)
    t.match(found, /^Tags: {16}\[tag1\]\nKeys: {16}\[key1\]$/m)
    t.match(found, /WARN: No Consumer$/)
    const atOffset = await output('queryMsgByOffset -t Find -b b -i 0 -o 0')
    const offsetId = /^OffsetID: +([0-9A-F]+)$/m.exec(atOffset)?.[1] ?? ''
    t.match(await output(`queryMsgById -i ${offsetId}`), new RegExp(`msgbodys/${uniqueKey}$`, 'm'))
    const path = `${directory}/rocketmq/msgbodys/${uniqueKey}`
    t.equal((await platform.disk.readFile(path)).toString(), 'hello')
    t.match(await output('consumeMessage -t Find'), /^Consume ok\nMSGID: .* BODY: hello\n$/)
    t.match(
      await output('printMsg -t Find'),
      /^minOffset=0, maxOffset=1, MessageQueue \[topic=Find/
    )
    t.equal(
      await output('printMsgByQueue -t Find -a b -i 0 -f true'),
      'Tag: tag1                           Count: 1\n'
    )
    t.match(await output('queryCq -t Find -q 0 -i 0 -c 1'), /physicSize=\d+, tagsCode=3552215,/)
    const missing = await run('queryMsgByKey -t Find -k none')
    t.strictSame(missing, {
      status: 1,
      out: '',
      err: 'mqadmin queryMsgByKey: no message of Find has the key none\n'
    })
  })

  t.test('groups are made, watched, reset and deleted', async t => {
    await cluster.topic('Watch', 1)
    t.match(
      await output('updateSubGroup -c C -g G_watch'),
      'SubscriptionGroupConfig [groupName=G_watch, '
    )
    t.equal(
      await output('setConsumeMode -c C -t Watch -g G_watch -m POP -q 2'),
      `set consume mode to ${address} success.\ntopic[Watch] group[G_watch] consume mode[POP] popShareQueueNum[2]`
    )
    t.match((await run('setConsumeMode -c C -t Watch -g G_watch -m PUSH')).err, /PULL or POP/)
    await output('setConsumeMode -c C -t Watch -g G_watch -m PULL')
    t.match(await output('getConsumerConfig -g G_watch'), /^retryMaxTimes += {2}16$/m)
    const got = new Collector<string>()
    const consumer = new PushConsumer({
      group: 'G_watch',
      nameServers: cluster.nameServer,
      consumeFrom: 'first',
      listener: messages => {
        for (const message of messages) got.add(message.body.toString())
      }
    })
    consumer.subscribe('Watch', 'A || B')
    await consumer.start()
    t.teardown(() => consumer.close())
    await output('sendMessage -t Watch -p one -c A')
    await got.reach(1)
    await consumer.commit()
    const connection = await output('consumerConnection -g G_watch')
    t.match(connection, new RegExp(`^${consumer.clientId.replace(/[.]/g, '\\.')} `, 'm'))
    t.match(connection, /^Watch {16}A \|\| B$/m)
    t.match(connection, /ConsumeType: CONSUME_PASSIVELY\nMessageModel: CLUSTERING\n/)
    await until(() => cluster.leader().topics.find('%RETRY%G_watch') !== undefined)
    await known('%RETRY%G_watch')
    t.match(await output('consumerProgress -g G_watch'), /^Watch +b +0 +1 +1 +0 /m)
    t.match(await output('consumerProgress'), /^G_watch +1 +V5_3_3 +PUSH +CLUSTERING +0 +0$/m)
    t.match(await output('topicList -c'), /^C +Watch +G_watch +$/m)
    t.match(await output('statsAll -t Watch'), /^Watch +G_watch +0 /m)
    t.match(
      await output('resetOffsetByTime -g G_watch -t Watch -s 0'),
      /^rollback consumer offset by specified group\[G_watch\].*\n#brokerName.*\nb +0 +0 +\n$/
    )
    t.strictSame(await got.reach(2), ['one', 'one'])
    await consumer.close()
    const offline = await run('consumerConnection -g G_watch')
    t.equal(offline.status, 1)
    t.match(offline.err, /not online \(code 206 from /)
    t.match(await output('skipAccumulatedMessage -g G_watch -t Watch'), /#brokerName/)
    t.match(await output('deleteSubGroup -c C -g G_watch'), /delete subscription group \[G_watch\]/)
    const producers = await run('producerConnection -g nobody -t Watch')
    t.equal(producers.status, 1)
  })

  t.test('brokers and name servers are shown and changed', async t => {
    t.match(await output('clusterList'), new RegExp(`^C +b +0 +${address} +V5_3_3 `, 'm'))
    t.match(await output('clusterList -m'), /^C +b +\d+ +\d+ +\d+ +\d+$/m)
    t.match(await output(`brokerStatus -b ${address}`), /^brokerVersionDesc +: V5_3_3$/m)
    t.match(await output('brokerStatus -c C'), new RegExp(`^${address} +brokerVersionDesc`, 'm'))
    await output(`updateBrokerConfig -b ${address} -k fileReservedTime -v 71`)
    t.match(await output(`getBrokerConfig -b ${address}`), /^fileReservedTime += {2}71$/m)
    t.match(await output('getBrokerConfig -c C'), /^=+Master: /)
    t.match(await output('getNamesrvConfig'), /^listenPort += {2}/m)
    await output('updateKvConfig -s ns -k k -v v')
    t.equal(await cluster.admin.nameServers.kv('ns', 'k'), 'v')
    await output('deleteKvConfig -s ns -k k')
    t.equal(await cluster.admin.nameServers.kv('ns', 'k'), null)
    t.match(await output('wipeWritePerm -b b'), / OK, \d+\n$/)
    t.match(await output('addWritePerm -b b'), / OK, \d+\n$/)
    t.equal(await output(`cleanExpiredCQ -b ${address}`), 'success')
    t.equal(await output('cleanUnusedTopic -c C'), 'success')
    t.match(await output(`brokerConsumeStats -b ${address}`), /\nDiff Total: \d+\n$/)
    const forbidden = await run(`updateBrokerConfig -b ${address} -k brokerConfigPath -v x`)
    t.equal(forbidden.status, 1)
    t.match(forbidden.err, /^mqadmin updateBrokerConfig: .*black list.*\(code 16 from /)
  })

  t.test('the quick start sends a thousand messages, and receives them', async t => {
    await cluster.topic('TopicTest', 4)
    const lines = new Collector<string>()
    let stop: () => void = () => {}
    const stopped = new Promise<void>(resolve => {
      stop = resolve
    })
    const stderr = (text: string): void => {
      t.equal(text, '', 'nothing on stderr')
    }
    const prefix = 'org.apache.rocketmq.example.quickstart.'
    const consuming = runQuickstart(
      `${prefix}Consumer`,
      [],
      { stdout: text => lines.add(text), stderr, env, platform },
      { stop: stopped }
    )
    await lines.reach(1)
    t.equal(lines.items[0], 'Consumer Started.\n')
    const sent: string[] = []
    const io = { stdout: (text: string) => void sent.push(text), stderr, env, platform }
    t.equal(await runQuickstart(`${prefix}Producer`, [], io), 0)
    t.equal(sent.length, 1_000)
    t.match(
      sent[0],
      /^SendResult \[sendStatus=SEND_OK, msgId=[0-9A-F]{32}, offsetMsgId=[0-9A-F]{32}, messageQueue=MessageQueue \[topic=TopicTest, brokerName=b, queueId=\d\], queueOffset=\d+\]\n$/
    )
    await lines.reach(1_001, 20_000)
    t.match(
      lines.items[1],
      /^ConsumeMessageThread_please_rename_unique_group_name_4_1 Receive New Messages: \[MessageExt \[brokerName=b, .*\]\] \n$/
    )
    stop()
    t.equal(await consuming, 0)
    const errors: string[] = []
    const wrong = { ...io, stderr: (text: string) => void errors.push(text) }
    const nowhere = { ...wrong, env: { NAMESRV_ADDR: '127.0.0.1:1' } }
    for (const program of ['Producer', 'Consumer']) {
      t.equal(await runQuickstart(`${prefix}${program}`, [], nowhere), 1)
      t.match(errors.pop(), new RegExp(`^${program}: no name server answers`))
    }
    t.equal(await runQuickstart('org.example.Nothing', [], wrong), 1)
    t.match(errors.join(''), /there is no program org\.example\.Nothing/)
  })

  /** Brokers tell name servers of a new topic some milliseconds after they made it. */
  async function known(topic: string): Promise<void> {
    while ((await cluster.admin.route(topic).catch(() => null)) === null) {
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  }
})
