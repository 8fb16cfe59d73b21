// What became of a message: producer and consumer record it, anybody can look it up by the message's id or keys.
import { Admin, Producer, PushConsumer } from 'ledgermq'

const nameServers = process.env['NAMESRV_ADDR'] ?? '127.0.0.1:9876'
const topic = 'ExampleTraced'
// RocketMQ's own trace topic (trace: true) is there when a broker has traceTopicEnable=true; this one is made by its first record.
const trace = { topic: 'ExampleTrace' }

const producer = new Producer({ group: 'example_producer', nameServers, trace })
await producer.start()
const { messageId } = await producer.send({ topic, body: 'watch me', keys: 'order-1' })
await producer.close()

let finish = (): void => {}
const finished = new Promise<void>(resolve => {
  finish = resolve
})
const consumer = new PushConsumer({
  group: 'example_traced',
  nameServers,
  trace,
  consumeFrom: 'first',
  listener: () => finish()
})
consumer.subscribe(topic)
await consumer.start()
await finished
// Records that wait are sent before it resolves.
await consumer.close()

const admin = new Admin({ nameServers })
const found = await admin.messages.byKey({ topic: trace.topic, key: messageId, maxMessages: 32 })
const records = found.flatMap(message => message.body.toString().split('\u0002'))
for (const record of records.filter(each => each.includes(messageId))) {
  console.log(record.split('\u0001').join(' '))
}
await admin.close()
