// Makes a topic, shows where it lives and how far its queues are, then deletes it.
import { Admin, ClientError } from 'ledgermq'

const nameServers = process.env['NAMESRV_ADDR'] ?? '127.0.0.1:9876'

const admin = new Admin({ nameServers })
try {
  const { clusters } = await admin.nameServers.clusters()
  const [cluster] = clusters.keys()
  if (cluster === undefined) throw new Error('no broker is registered')
  await admin.createTopic(cluster, 'ExampleAdmin', { queues: 2 })
  for (const broker of (await admin.route('ExampleAdmin')).brokers) {
    console.log(broker.brokerName, Object.fromEntries(broker.addresses))
  }
  for (const address of await admin.topicBrokers('ExampleAdmin')) {
    const { offsetTable } = await admin.topics.stats(address, 'ExampleAdmin')
    for (const [queue, offset] of offsetTable) {
      console.log(`queue ${queue.queueId}: ${offset.minOffset} to ${offset.maxOffset}`)
    }
  }
  await admin.deleteTopic(cluster, 'ExampleAdmin')
} catch (error) {
  if (error instanceof ClientError) console.error(`${error.code}: ${error.message}`)
  throw error
} finally {
  await admin.close()
}
