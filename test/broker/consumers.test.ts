import t from 'tap'
import {
  CheckClientRequestBody,
  GetConsumerListByGroupResponseBody,
  LockBatchRequestBody,
  LockBatchResponseBody,
  RequestCode,
  ResponseCode,
  SubscriptionData
} from '../../src/protocol/index.ts'
import { RecordingLogger } from '../helpers/recordingLogger.ts'
import { serving, startBroker, TestClient, until } from './helpers.ts'

t.test('groups of clients', async t => {
  const broker = await startBroker(t)
  await serving(broker)
  const list = async (client: TestClient, group: string): Promise<string[] | number> => {
    const answer = await client.ask(RequestCode.GET_CONSUMER_LIST_BY_GROUP, {
      consumerGroup: group
    })
    if (answer.code !== 0) return answer.code
    return GetConsumerListByGroupResponseBody.decode(answer.body).consumerIdList.sort()
  }

  t.test('a heartbeat registers, makes the retry topic and tells the members', async t => {
    const one = new TestClient(t, broker.address, 'one')
    const two = new TestClient(t, broker.address, 'two')
    let notices = 0
    one.remoting.onRequest(RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, request => {
      if (request.extFields?.['consumerGroup'] === 'CG') notices++
      return null
    })
    t.equal(await list(one, 'CG'), ResponseCode.SYSTEM_ERROR, 'nobody yet')
    const answer = await one.heartbeat('CG', { T: {} }, { producers: ['PG'] })
    t.equal(answer.code, 0)
    t.ok(answer.version >= 232, 'or Java clients refuse filters')
    t.equal(broker.topics.find('%RETRY%CG')?.perm, 6)
    t.ok(broker.groups.find('CG'))
    t.equal(broker.producers.members('PG')[0]?.clientId, 'one')
    await until(() => notices === 1)
    await two.heartbeat('CG', { T: {} })
    t.strictSame(await list(one, 'CG'), ['one', 'two'])
    await until(() => notices === 2)
    await two.heartbeat('CG', { T: { expression: 'a', version: 9 } })
    t.equal(broker.consumers.find('CG')?.subscriptions.get('T')?.version, 9)
    await two.ask(RequestCode.UNREGISTER_CLIENT, { clientID: 'two', consumerGroup: 'CG' })
    t.strictSame(await list(one, 'CG'), ['one'])
    await until(() => notices === 3)
    await one.remoting.close()
    await until(() => broker.consumers.find('CG') === undefined)
    t.strictSame(broker.producers.groups(), [])
  })

  t.test('a group that wants no notices of changes gets none', async t => {
    const one = new TestClient(t, broker.address, 'one')
    const notices: string[] = []
    one.remoting.onRequest(RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, request => {
      notices.push(request.extFields!['consumerGroup']!)
      return null
    })
    const quiet = { groupName: 'Quiet', notifyConsumerIdsChangedEnable: false }
    const body = Buffer.from(JSON.stringify(quiet))
    await one.ask(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, {}, body)
    await one.heartbeat('Quiet', { T: {} })
    // Notices of one broker leave in the order of their groups' changes.
    await one.heartbeat('Loud', { T: {} })
    await until(() => notices.length > 0)
    t.strictSame(notices, ['Loud'])
    await one.remoting.close()
    await until(() => broker.consumers.find('Loud') === undefined)
  })

  t.test('limits of groups and members hold', async t => {
    broker.config.update([['maxClientsPerGroup', '1']])
    const one = new TestClient(t, broker.address, 'one')
    const two = new TestClient(t, broker.address, 'two')
    await one.heartbeat('Small', { T: {} })
    const refused = await two.heartbeat('Small', { T: {} })
    t.equal(refused.code, ResponseCode.SYSTEM_ERROR)
    t.match(refused.remark, /1 groups of this heartbeat were refused/)
    t.strictSame(await list(one, 'Small'), ['one'])
    broker.config.update([['maxClientsPerGroup', '100']])
  })

  t.test('a full table of groups is said once, not at each pull', async t => {
    const logger = new RecordingLogger()
    const full = await startBroker(t, { maxGroups: '16' }, logger)
    await serving(full)
    const client = new TestClient(t, full.address)
    await client.send('T', 'x')
    for (let n = 0; n < 40; n++) await client.pull('T', 0, 0, { group: `G${n}` })
    t.equal(full.store.tables.groups.size, 16)
    const said = logger.messages('warn').filter(text => text === 'Subscription group not made')
    t.equal(said.length, 1)
  })

  t.test('a filter that is not served stops the consumer at its start', async t => {
    const client = new TestClient(t, broker.address)
    const check = async (expressionType: string): Promise<number> => {
      const subscriptionData = SubscriptionData.of({
        topic: 'T',
        subString: 'a > 1',
        expressionType
      })
      const body = CheckClientRequestBody.encode({ clientId: 'c', group: 'G', subscriptionData })
      return (await client.ask(RequestCode.CHECK_CLIENT_CONFIG, null, body)).code
    }
    t.equal(await check('TAG'), ResponseCode.SUCCESS)
    t.equal(await check('SQL92'), ResponseCode.SYSTEM_ERROR)
  })

  t.test('a body that cannot be read is an error and costs nothing else', async t => {
    const client = new TestClient(t, broker.address)
    const answer = await client.ask(RequestCode.HEART_BEAT, null, Buffer.from('{"clientID":'))
    t.equal(answer.code, ResponseCode.SYSTEM_ERROR)
    t.equal((await client.heartbeat('Other', { T: {} })).code, 0)
  })
})

t.test('consumer offsets', async t => {
  const broker = await startBroker(t)
  await serving(broker)
  const client = new TestClient(t, broker.address)
  for (let i = 0; i < 5; i++) await client.send('O', `m${i}`)
  const update = { consumerGroup: 'G', topic: 'O', queueId: 0 }
  const query = (more: Record<string, string | number | boolean> = {}) =>
    client.ask(RequestCode.QUERY_CONSUMER_OFFSET, { ...update, ...more })

  t.test(
    'a new group on a young queue starts at 0, and elsewhere is told that there is none',
    async t => {
      t.equal((await query()).extFields?.['offset'], '0')
      t.equal((await query({ queueId: 1 })).extFields?.['offset'], '0', 'of an empty one too')
      t.equal((await query({ setZeroIfNotFound: false })).code, ResponseCode.QUERY_NOT_FOUND)
    }
  )

  t.test(
    'a new group is told nothing while the units are damaged: an error would send it to the end',
    async t => {
      const store = broker.store as { isInDisk: typeof broker.store.isInDisk }
      const { isInDisk } = store
      store.isInDisk = () => Promise.reject(new Error('units of the queue are damaged'))
      const asked = { consumerGroup: 'New', topic: 'O', queueId: 0 }
      await t.rejects(client.ask(RequestCode.QUERY_CONSUMER_OFFSET, asked, null, 300), /300 ms/)
      const none = await query({ setZeroIfNotFound: false })
      t.equal(none.code, ResponseCode.QUERY_NOT_FOUND, 'who wants none is told so')
      store.isInDisk = isInDisk
      t.equal((await query({ consumerGroup: 'New' })).extFields?.['offset'], '0')
    }
  )

  t.test('a question sees the one-way update before it', async t => {
    await client.oneway(RequestCode.UPDATE_CONSUMER_OFFSET, { ...update, commitOffset: 3 })
    t.equal((await query()).extFields?.['offset'], '3')
  })

  t.test('an update may go back, what rides on a pull may not', async t => {
    const back = await client.ask(RequestCode.UPDATE_CONSUMER_OFFSET, {
      ...update,
      commitOffset: 1
    })
    t.equal(back.code, 0)
    t.equal((await query()).extFields?.['offset'], '1')
    await client.pull('O', 0, 4, { sysFlag: 1, commitOffset: 4 })
    t.equal((await query()).extFields?.['offset'], '4')
    await client.pull('O', 0, 2, { sysFlag: 1, commitOffset: 2 })
    t.equal((await query()).extFields?.['offset'], '4')
  })

  t.test('senseless offsets and missing fields are refused by name', async t => {
    const bad = await client.ask(RequestCode.UPDATE_CONSUMER_OFFSET, {
      ...update,
      commitOffset: -5
    })
    t.equal(bad.code, ResponseCode.SYSTEM_ERROR)
    const missing = await client.ask(RequestCode.QUERY_CONSUMER_OFFSET, { topic: 'O' })
    t.equal(missing.code, ResponseCode.SYSTEM_ERROR)
    t.match(missing.remark, /consumerGroup/)
  })

  t.test('ends of a queue and offsets by time', async t => {
    const ask = async (code: number, more: Record<string, string | number> = {}) =>
      (await client.ask(code, { topic: 'O', queueId: 0, ...more })).extFields ?? {}
    t.equal((await ask(RequestCode.GET_MAX_OFFSET))['offset'], '5')
    t.equal((await ask(RequestCode.GET_MIN_OFFSET))['offset'], '0')
    const stored = await client.read('O', 0)
    t.equal(
      (await ask(RequestCode.GET_EARLIEST_MSG_STORETIME))['timestamp'],
      String(stored[0]!.storeTimestamp)
    )
    const search = (timestamp: number) => ask(RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, { timestamp })
    t.equal((await search(0))['offset'], '0')
    t.equal((await search(stored[4]!.storeTimestamp + 1))['offset'], '5')
    t.equal((await ask(RequestCode.GET_MAX_OFFSET, { queueId: 2 }))['offset'], '0')
    t.equal((await ask(RequestCode.GET_EARLIEST_MSG_STORETIME, { queueId: 2 }))['timestamp'], '-1')
  })
})

t.test('what hung in a connection that its client has replaced moves no offset back', async t => {
  const broker = await startBroker(t)
  await serving(broker)
  const old = new TestClient(t, broker.address, 'same')
  const fresh = new TestClient(t, broker.address, 'same')
  await old.send('O', 'x')
  await old.heartbeat('G', { O: {} })
  const commit = (client: TestClient, commitOffset: number): Promise<void> =>
    client.oneway(RequestCode.UPDATE_CONSUMER_OFFSET, {
      consumerGroup: 'G',
      topic: 'O',
      queueId: 0,
      commitOffset
    })
  const stored = async (client: TestClient): Promise<string | undefined> => {
    const fields = { consumerGroup: 'G', topic: 'O', queueId: 0 }
    const answer = await client.ask(RequestCode.QUERY_CONSUMER_OFFSET, fields)
    return answer.extFields?.['offset']
  }
  await commit(old, 9)
  await commit(old, 5)
  t.equal(await stored(old), '5', 'a client may go back')
  await fresh.heartbeat('G', { O: {} })
  await commit(fresh, 20)
  t.equal(await stored(fresh), '20')
  await commit(old, 7)
  t.equal(await stored(old), '20')
  await commit(old, 21)
  t.equal(await stored(old), '21', 'forward it may still go')
})

t.test('order locks: a queue has one owner until it gives it back', async t => {
  const broker = await startBroker(t)
  await serving(broker)
  const client = new TestClient(t, broker.address)
  await client.send('T', 'x')
  const body = (clientId: string, queues: number[]): Buffer =>
    LockBatchRequestBody.encode({
      clientId,
      consumerGroup: 'G',
      mqSet: queues.map(queueId => ({ brokerName: 'b', topic: 'T', queueId })),
      onlyThisBroker: false
    })
  const lock = async (clientId: string, queues: number[]): Promise<number[]> => {
    const answer = await client.ask(RequestCode.LOCK_BATCH_MQ, null, body(clientId, queues))
    const { lockOKMQSet } = LockBatchResponseBody.decode(answer.body)
    t.ok(lockOKMQSet.every(queue => queue.brokerName === 'b' && queue.topic === 'T'))
    return lockOKMQSet.map(queue => queue.queueId).sort()
  }
  t.strictSame(await lock('one', [0, 1]), [0, 1])
  t.strictSame(await lock('two', [0, 1, 2]), [2])
  t.strictSame(await lock('one', [0, 1]), [0, 1], 'renewed')
  await client.ask(RequestCode.UNLOCK_BATCH_MQ, null, body('two', [0]))
  t.strictSame(await lock('two', [0]), [], 'only the owner unlocks')
  await client.ask(RequestCode.UNLOCK_BATCH_MQ, null, body('one', [0]))
  t.strictSame(await lock('two', [0]), [0])
})
