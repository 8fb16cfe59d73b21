// Messages at your own pace, shared with the other members of the group: what PushConsumer does without you, in your hands.
import { PullConsumer } from 'ledgermq'

const nameServers = process.env['NAMESRV_ADDR'] ?? '127.0.0.1:9876'

const consumer = new PullConsumer({
  group: 'example_pull_shared',
  nameServers,
  // Every 5 s, when a queue goes to another member, and at close().
  autoCommit: true
})
consumer.onAssignment((added, removed) => {
  console.log(`${added.length} queues came, ${removed.length} went`)
})
consumer.subscribe('ExampleTopic', 'even')
await consumer.start()
for (;;) {
  const messages = await consumer.poll(1_000)
  if (messages.length === 0) break
  for (const message of messages) console.log(message.body.toString())
}
await consumer.close()
