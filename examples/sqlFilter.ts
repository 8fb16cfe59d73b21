// Receives only what an SQL92 expression over message properties lets pass; the broker needs enablePropertyFilter=true.
import { Producer, PushConsumer } from 'ledgermq'

const nameServers = process.env['NAMESRV_ADDR'] ?? '127.0.0.1:9876'

const producer = new Producer({ nameServers, group: 'example_filtering_producer' })
await producer.start()
for (let amount = 0; amount < 10; amount++)
  await producer.send({
    topic: 'ExampleTopic',
    body: `amount ${amount}`,
    properties: { amount: String(amount), colour: amount === 9 ? 'red' : 'blue' }
  })
await producer.close()

const consumer = new PushConsumer({
  group: 'example_filtering_consumer',
  nameServers,
  consumeFrom: 'first',
  listener(messages) {
    for (const message of messages) console.log(message.body.toString())
  }
})
consumer.subscribeSql('ExampleTopic', "amount BETWEEN 3 AND 5 OR colour = 'red'")
// Rejects when the expression does not compile, or the broker has filters switched off.
await consumer.start()
process.once('SIGINT', () => void consumer.close())
console.log('consuming, Ctrl-C ends it')
