// Many small messages: as batches of your own making, and gathered by the producer.
import { Producer, splitBatch } from 'ledgermq'

const nameServers = process.env['NAMESRV_ADDR'] ?? '127.0.0.1:9876'
const topic = 'ExampleTopic'

const producer = new Producer({ group: 'example_producer', nameServers, batching: true })
await producer.start()
try {
  const batch = Array.from({ length: 100 }, (_, i) => ({ topic, body: `of a batch ${i}` }))
  const stored = await producer.sendBatch(batch)
  console.log(`100 messages stored in queue ${stored.queue.queueId} from ${stored.queueOffset} on`)

  // More than one request can carry: cut into batches of at most 10 kB here, 1 MB when nothing is said.
  let batches = 0
  for (const part of splitBatch(batch, 10_000)) {
    await producer.sendBatch(part)
    batches++
  }
  console.log(`the same in ${batches} batches`)

  // Sends of the same moment travel together; each promise tells of its own message.
  const results = await Promise.all(
    Array.from({ length: 1_000 }, (_, i) => producer.send({ topic, body: `gathered ${i}` }))
  )
  console.log(`${results.filter(result => result.status === 'SEND_OK').length} messages stored`)
} finally {
  await producer.close()
}
