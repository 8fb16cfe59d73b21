// Messages one by one, by POP of RocketMQ 5: members of a group share every queue, and each message is acknowledged for itself.
import { PopConsumer, Producer } from 'ledgermq'

const nameServers = process.env['NAMESRV_ADDR'] ?? '127.0.0.1:9876'

const producer = new Producer({ group: 'example_pop_producer', nameServers })
await producer.start()
for (const body of ['good', 'late', 'bad']) await producer.send({ topic: 'PopExample', body })
await producer.close()

const consumer = new PopConsumer({
  group: 'example_pop',
  nameServers,
  // What is not acknowledged within this time comes again.
  invisibleMs: 30_000
})
consumer.subscribe('PopExample')
await consumer.start()
let left = 3
while (left > 0) {
  for (const message of await consumer.receive({ maxMessages: 8 })) {
    const text = message.body.toString()
    console.log(`${text}, attempt ${message.deliveryAttempt}`)
    if (text === 'bad' && message.deliveryAttempt === 1) {
      // Again, in half a second instead of at the end of its time.
      await consumer.changeInvisible(message, 500)
      continue
    }
    // More time to work on it; the message that comes back has the handle that counts.
    const held = text === 'late' ? await consumer.changeInvisible(message, 60_000) : message
    await consumer.ack(held)
    left -= 1
  }
}
await consumer.close()
