import t from 'tap'
import {
  type Message,
  PushConsumer,
  type ReceivedMessage,
  TransactionProducer,
  type TransactionVerdict
} from '../../src/client/index.ts'
import { RequestCode } from '../../src/protocol/index.ts'
import { Collector, startCluster, until } from './cluster.ts'
import { refuse, scripted } from './scriptedCluster.ts'

const patient = {
  transactionTimeOut: '3600000',
  transactionCheckInterval: '3600000',
  forwardHoldMillis: '1500',
  forwardTimeoutMillis: '200'
}

t.test('a transaction ends as the listener says', async t => {
  const cluster = await startCluster(t, 1, patient)
  const leader = await cluster.settled()
  await cluster.topic('Tx', 1)
  const executed: Message[] = []
  const checked = new Collector<ReceivedMessage>()
  let later: TransactionVerdict | 'throw' = 'commit'
  const producer = new TransactionProducer({
    group: 'PG',
    nameServers: cluster.nameServer,
    compressFromBytes: 100,
    listener: {
      async executeLocal(message, stored) {
        executed.push(message)
        t.equal(stored.status, 'SEND_OK')
        t.equal(leader.store.maxOffset('Tx', 0), delivered.items.length, 'nobody sees it yet')
        const verdict = String(message.keys)
        if (verdict === 'throw') throw new Error('the database is gone')
        return verdict as TransactionVerdict
      },
      checkLocal(message) {
        checked.add(message)
        if (later === 'throw') throw new Error('still gone')
        return later
      }
    }
  })
  t.teardown(() => producer.close())
  const delivered = new Collector<ReceivedMessage>()
  const consumer = new PushConsumer({
    group: 'G',
    nameServers: cluster.nameServer,
    consumeFrom: 'first',
    listener: messages => {
      for (const message of messages) delivered.add(message)
    }
  })
  consumer.subscribe('Tx')
  t.teardown(() => consumer.close())
  await consumer.start()
  await t.rejects(producer.sendInTransaction({ topic: 'Tx', body: 'early' }), {
    code: 'NOT_STARTED'
  })
  await producer.start()
  const send = (keys: string, body = keys) =>
    producer.sendInTransaction({ topic: 'Tx', body, keys })

  t.equal((await send('commit', 'long '.repeat(100))).verdict, 'commit')
  const [first] = await delivered.reach(1)
  t.equal(first!.body.toString(), 'long '.repeat(100), 'compressed on its way')
  t.equal((await send('rollback')).verdict, 'rollback')
  await until(() => leader.store.tables.transactions.size === 0)
  t.equal((await send('unknown')).verdict, 'unknown')
  t.equal((await send('throw')).verdict, 'unknown')
  t.equal(leader.store.tables.transactions.size, 2)

  leader.config.update([['transactionTimeOut', '0']])
  const asked = await checked.reach(2)
  t.strictSame(new Set(asked.map(message => message.keys[0])), new Set(['unknown', 'throw']))
  t.equal(asked[0]!.topic, 'Tx')
  await delivered.reach(3)
  t.equal(leader.store.tables.transactions.size, 0)

  later = 'throw'
  await send('unknown', 'again')
  await checked.reach(3)
  later = 'rollback'
  leader.config.update([['transactionCheckInterval', '1']])
  await until(() => leader.store.tables.transactions.size === 0)
  t.ok(checked.items.length > 3, 'what was thrown left it in doubt')
  t.equal(leader.store.maxOffset('Tx', 0), 3)
  t.equal(executed.length, 5)
  await t.rejects(producer.sendInTransaction({ topic: 'Tx', body: 'x', delayLevel: 1 }), {
    code: 'BAD_ARGUMENT'
  })
  await producer.send({ topic: 'Tx', body: 'plain' })
  await delivered.reach(4)
})

t.test('what could not be stored begins nothing; what is not safe is rolled back', async t => {
  const { nameServer, brokers } = await scripted(t, 1)
  const [broker] = brokers
  let calls = 0
  const producer = new TransactionProducer({
    group: 'PG',
    nameServers: nameServer.address,
    retries: 0,
    listener: {
      executeLocal: () => {
        calls++
        return 'commit'
      },
      checkLocal: () => 'commit'
    }
  })
  t.teardown(() => producer.close())
  await producer.start()
  const ends = () => broker!.requests.filter(one => one.code === RequestCode.END_TRANSACTION)
  const { answer } = broker!
  broker!.answer = refuse(13)
  const refused = await producer.sendInTransaction({ topic: 'T', body: 'x' }).catch(error => error)
  t.match(refused, { code: 'REFUSED', responseCode: 13 })
  t.equal(calls, 0)
  broker!.answer = request => ({ ...answer(request)!, code: 12 })
  const unsafe = await producer.sendInTransaction({ topic: 'T', body: 'x' })
  t.match(unsafe, { status: 'FLUSH_SLAVE_TIMEOUT', verdict: 'rollback' })
  t.equal(calls, 0)
  await until(() => ends().length === 1)
  broker!.answer = answer
  const sent = await producer.sendInTransaction({ topic: 'T', body: 'x' })
  await until(() => ends().length === 2)
  t.equal(calls, 1)
  t.match(ends()[0]!.extFields, { commitOrRollback: '12', fromTransactionCheck: 'false' })
  t.match(ends()[1]!.extFields, {
    producerGroup: 'PG',
    topic: 'T',
    bname: 'b',
    commitOrRollback: '8',
    fromTransactionCheck: 'false',
    msgId: sent.messageId,
    transactionId: sent.messageId,
    tranStateTableOffset: String(sent.queueOffset),
    commitLogOffset: String(Number.parseInt(sent.offsetMessageId.slice(16), 16))
  })
  t.equal(ends()[1]!.flag & 2, 2, 'one-way')
  const half = broker!.sends.at(-1)!.extFields!
  t.ok(half['i']!.includes('TRAN_MSG\u0001true\u0002PGROUP\u0001PG\u0002'))
  t.equal(Number(half['f']) & 0xc, 4)
})

t.test('a transaction outlives the leader that it began with (3 brokers)', async t => {
  const cluster = await startCluster(t, 3, patient)
  const leader = await cluster.settled()
  await cluster.topic('Tx', 1)
  const asked = new Collector<ReceivedMessage>()
  const producer = new TransactionProducer({
    group: 'PG',
    nameServers: cluster.nameServer,
    heartbeatIntervalMs: 200,
    listener: {
      async executeLocal(message) {
        if (message.body === 'asked about') return 'unknown'
        await cluster.kill(leader)
        return 'commit'
      },
      checkLocal(message) {
        asked.add(message)
        return 'commit'
      }
    }
  })
  t.teardown(() => producer.close())
  await producer.start()
  await producer.sendInTransaction({ topic: 'Tx', body: 'asked about' })
  await producer.sendInTransaction({ topic: 'Tx', body: 'killed in the middle' })
  const next = await cluster.settled()
  await until(() => next.producers.members('PG').length > 0)
  next.config.update([['transactionTimeOut', '0']])
  await asked.reach(1)
  await until(() => next.store.tables.transactions.size === 0)
  t.equal(next.store.maxOffset('Tx', 0), 2)
})
