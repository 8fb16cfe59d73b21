// Every member gets every message; each keeps its own place in a file of its own.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Producer, PushConsumer } from 'ledgermq'

const nameServers = process.env['NAMESRV_ADDR'] ?? '127.0.0.1:9876'
const topic = 'ExampleNews'

const producer = new Producer({ group: 'example_producer', nameServers })
await producer.start()
await producer.send({ topic, body: 'news' })
await producer.close()

// In earnest: a folder that outlives the process, so that it goes on where it was.
const offsetDirectory = await mkdtemp(join(tmpdir(), 'offsets-'))
const consumers: PushConsumer[] = []
await Promise.all(
  ['one', 'two'].map(async name => {
    let finish = (): void => {}
    const finished = new Promise<void>(resolve => {
      finish = resolve
    })
    const consumer = new PushConsumer({
      group: 'example_broadcast',
      nameServers,
      messageModel: 'broadcasting',
      // The file is found again by it.
      instanceName: name,
      offsetDirectory,
      consumeFrom: 'first',
      listener(messages) {
        for (const message of messages) console.log(`${name} got ${message.body.toString()}`)
        finish()
      }
    })
    consumers.push(consumer)
    consumer.subscribe(topic)
    await consumer.start()
    await finished
  })
)
for (const consumer of consumers) await consumer.close()
await rm(offsetDirectory, { recursive: true })
