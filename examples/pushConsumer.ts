// Has messages delivered until Ctrl-C; start it twice and the two share the queues.
import { PushConsumer } from 'ledgermq'

const nameServers = process.env['NAMESRV_ADDR'] ?? '127.0.0.1:9876'

const consumer = new PushConsumer({
  group: 'example_consumer',
  nameServers,
  consumeFrom: 'first',
  listener(messages) {
    for (const message of messages) {
      console.log(`${message.topic} ${message.tag ?? '-'} ${message.body.toString()}`)
      // What is thrown here brings the message back after 10 s, then 30 s, then a minute …
    }
  }
})
consumer.subscribe('ExampleTopic', 'even || odd')
await consumer.start()
process.once('SIGINT', () => void consumer.close())
console.log('consuming, Ctrl-C ends it')
