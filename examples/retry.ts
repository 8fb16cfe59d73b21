// A message that cannot be worked on comes again later, and ends as a dead letter when that does not help.
import { Producer, PullConsumer, PushConsumer } from 'ledgermq'

const nameServers = process.env['NAMESRV_ADDR'] ?? '127.0.0.1:9876'
const topic = 'ExampleTroubles'
const group = 'example_troubled'

const producer = new Producer({ group: 'example_producer', nameServers })
await producer.start()
await producer.send({ topic, body: 'good' })
await producer.send({ topic, body: 'bad' })
await producer.close()

let left = 3
let finish = (): void => {}
const finished = new Promise<void>(resolve => {
  finish = resolve
})
const consumer = new PushConsumer({
  group,
  nameServers,
  consumeFrom: 'first',
  // After one further delivery; 16 when nothing is said.
  maxReconsumeTimes: 1,
  listener([message], context) {
    if (message === undefined) return 'done'
    const body = message.body.toString()
    console.log(`${body}, delivery ${message.reconsumeTimes + 1}`)
    if (--left === 0) finish()
    // A second later; without it the broker decides: 10 s, 30 s, a minute …
    context.delayLevel = 1
    return body === 'bad' ? 'later' : 'done'
  }
})
consumer.subscribe(topic)
await consumer.start()
await finished
await consumer.close()

const dead = new PullConsumer({ group: 'example_undertaker', nameServers })
await dead.start()
// The topic of dead letters is made with the first of them.
for (let tries = 0; tries < 50; tries++) {
  const queues = await dead.queues(`%DLQ%${group}`).catch(() => [])
  if (queues.length > 0) {
    dead.assign(queues)
    break
  }
  await new Promise(resolve => setTimeout(resolve, 200))
}
for (const message of await dead.poll(10_000)) {
  console.log(`dead letter: ${message.body.toString()}`)
}
await dead.close()
