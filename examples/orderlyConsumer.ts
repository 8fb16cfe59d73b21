// Messages of one order stay in order: the producer sends them to one queue, the consumer takes a queue's messages one by one.
import { Producer, PushConsumer } from 'ledgermq'

const nameServers = process.env['NAMESRV_ADDR'] ?? '127.0.0.1:9876'
const steps = ['created', 'paid', 'packed', 'sent']

const producer = new Producer({ group: 'example_producer', nameServers })
await producer.start()
for (const step of steps) {
  for (const order of [1, 2, 3]) {
    await producer.send(
      { topic: 'ExampleOrders', body: `order ${order} ${step}`, shardingKey: String(order) },
      { selectQueue: queues => queues[order % queues.length]! }
    )
  }
}
await producer.close()

let left = steps.length * 3
let finish = (): void => {}
const finished = new Promise<void>(resolve => {
  finish = resolve
})
const consumer = new PushConsumer({
  group: 'example_orderly',
  nameServers,
  consumeFrom: 'first',
  orderly: true,
  listener(messages, context) {
    for (const message of messages) {
      console.log(`queue ${context.queue.queueId}: ${message.body.toString()}`)
      if (--left === 0) finish()
    }
    // 'later' would stop this queue and deliver the same messages again after context.suspendMs. 'hold' would go on without storing the
    // place until the next 'done', and 'rollback' would deliver again what is held.
    return 'done'
  }
})
consumer.subscribe('ExampleOrders')
await consumer.start()
await finished
await consumer.close()
