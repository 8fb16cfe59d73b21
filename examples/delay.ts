// A message that is delivered a second later (level 1 of 1s 5s 10s 30s 1m … 2h).
import { Producer, PushConsumer } from 'ledgermq'

const nameServers = process.env['NAMESRV_ADDR'] ?? '127.0.0.1:9876'

let finish = (): void => {}
const finished = new Promise<void>(resolve => {
  finish = resolve
})
const consumer = new PushConsumer({
  group: 'example_delay',
  nameServers,
  consumeFrom: 'first',
  listener([message]) {
    if (message === undefined) return
    const seconds = (message.storeTimestamp - message.bornTimestamp) / 1_000
    console.log(`"${message.body.toString()}" came after ${seconds.toFixed(1)} s`)
    finish()
  }
})
const producer = new Producer({ group: 'example_producer', nameServers })
await producer.start()
await producer.send({ topic: 'ExampleDelay', body: 'tea is ready', delayLevel: 1 })
consumer.subscribe('ExampleDelay')
await consumer.start()
await finished
await producer.close()
await consumer.close()
