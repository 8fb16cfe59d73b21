// Reads queues at its own pace and stores its place itself.
import { PullConsumer } from 'ledgermq'

const nameServers = process.env['NAMESRV_ADDR'] ?? '127.0.0.1:9876'

const consumer = new PullConsumer({ group: 'example_pull', nameServers })
await consumer.start()
try {
  const queues = await consumer.queues('ExampleTopic')
  for (const queue of queues) {
    const [from, to] = await Promise.all([consumer.minOffset(queue), consumer.maxOffset(queue)])
    console.log(`queue ${queue.queueId}: offsets from ${from} to before ${to}`)
  }
  consumer.assign(queues)
  for (;;) {
    const messages = await consumer.poll(1_000)
    if (messages.length === 0) break
    for (const message of messages) console.log(message.body.toString())
    await consumer.commit()
  }
} finally {
  await consumer.close()
}
