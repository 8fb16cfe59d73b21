// Sends ten messages, waits for each. Run: scripts/fast-try.sh, then node build/examples/producer.js
import { Producer } from 'ledgermq'

const nameServers = process.env['NAMESRV_ADDR'] ?? '127.0.0.1:9876'

const producer = new Producer({ group: 'example_producer', nameServers })
await producer.start()
try {
  for (let i = 0; i < 10; i++) {
    const result = await producer.send({
      topic: 'ExampleTopic',
      body: JSON.stringify({ order: i }),
      tag: i % 2 === 0 ? 'even' : 'odd',
      keys: `order-${i}`,
      properties: { region: 'north' }
    })
    console.log(
      `${result.messageId} stored in queue ${result.queue.queueId} at ${result.queueOffset}`
    )
  }
} finally {
  await producer.close()
}
