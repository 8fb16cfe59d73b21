// Two tenants use the same names and never meet: their topics and groups are <namespace>%<name> at the brokers.
import { Producer, PullConsumer } from 'ledgermq'

const nameServers = process.env['NAMESRV_ADDR'] ?? '127.0.0.1:9876'
const topic = 'ExampleTenants'

for (const namespace of ['red', 'blue']) {
  const producer = new Producer({ group: 'example_producer', nameServers, namespace })
  await producer.start()
  await producer.send({ topic, body: `a ${namespace} message` })
  await producer.close()
}
for (const namespace of ['red', 'blue']) {
  const consumer = new PullConsumer({
    group: 'example_tenants',
    nameServers,
    namespace,
    autoCommit: true
  })
  consumer.subscribe(topic)
  await consumer.start()
  for (const message of await consumer.poll()) {
    console.log(`${namespace}: ${message.body.toString()} of ${message.topic}`)
  }
  await consumer.close()
}
