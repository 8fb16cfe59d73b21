// Asks a question and waits for the answer: somebody consumes the request and replies to it.
import { Producer, PushConsumer } from 'ledgermq'

const nameServers = process.env['NAMESRV_ADDR'] ?? '127.0.0.1:9876'
const topic = 'ExampleQuestions'

const asker = new Producer({ group: 'example_askers', nameServers })
const answerer = new Producer({ group: 'example_answerers', nameServers })
const consumer = new PushConsumer({
  group: 'example_questions',
  nameServers,
  consumeFrom: 'first',
  async listener(messages) {
    for (const message of messages) {
      await answerer.reply(message, `${message.body.toString()} is ${2 + 2}`)
    }
  }
})
await Promise.all([asker.start(), answerer.start()])
// A first message makes the topic, so that the consumer finds it at once.
await asker.send({ topic, body: 'hello', tag: 'no question' })
consumer.subscribe(topic, 'question')
await consumer.start()
const question = { topic, body: '2 + 2', tag: 'question' }
// Rejects with TIMEOUT when nobody replies in time.
const reply = await asker.request(question, { timeoutMs: 10_000 })
console.log(reply.body.toString())
await consumer.close()
await Promise.all([asker.close(), answerer.close()])
