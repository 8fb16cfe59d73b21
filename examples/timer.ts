// Messages that are delivered at a time of your choice, to the millisecond; one of them is taken back before.
import { isRefusal, Producer, PushConsumer } from 'ledgermq'

const nameServers = process.env['NAMESRV_ADDR'] ?? '127.0.0.1:9876'
const topic = 'ExampleTimers'
/** What a broker answers without recallMessageEnable=true. */
const NO_PERMISSION = 16

const producer = new Producer({ group: 'example_producer', nameServers })
await producer.start()
await producer.send({ topic, body: 'in half a second', delayMs: 500 })
await producer.send({ topic, body: 'a second later', deliverAtMs: Date.now() + 1_500 })
const { recallHandle } = await producer.send({ topic, body: 'in an hour', delayMs: 3_600_000 })
try {
  // Kept anywhere, the handle takes the message back as long as its time has not come.
  if (recallHandle !== null) await producer.recall(topic, recallHandle)
  console.log('taken back')
} catch (error) {
  if (!isRefusal(error, NO_PERMISSION)) throw error
  console.log('these brokers do not allow to take messages back')
}

let left = 2
let finish = (): void => {}
const finished = new Promise<void>(resolve => {
  finish = resolve
})
const consumer = new PushConsumer({
  group: 'example_timers',
  nameServers,
  consumeFrom: 'first',
  listener(messages) {
    for (const message of messages) {
      console.log(message.body.toString())
      if (--left === 0) finish()
    }
  }
})
consumer.subscribe(topic)
await consumer.start()
await finished
await producer.close()
await consumer.close()
