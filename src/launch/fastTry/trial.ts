import { ClientError, Producer, PullConsumer } from '../../client/index.ts'
import type { Session } from './session.ts'

const TOPIC = 'FastTry'
const GROUP = 'fast_try'
const MESSAGES = 5
const READ_TIMEOUT_MS = 10_000

/** Sends a few messages, reads them back where they were acknowledged, and says so. */
export async function exchangeMessages({ layout, platform, print }: Session): Promise<void> {
  const options = { nameServers: layout.namesrvAddress, platform, group: GROUP }
  const producer = new Producer(options)
  const consumer = new PullConsumer(options)
  try {
    await producer.start()
    await consumer.start()
    for (let i = 0; i < MESSAGES; i += 1) {
      const body = `Hello from message ${i}`
      const sent = await producer.send({ topic: TOPIC, tag: 'Try', body })
      const { queue, queueOffset } = sent
      const { messages } = await consumer.fetch(queue, queueOffset, {
        maxMessages: 1,
        waitMs: READ_TIMEOUT_MS
      })
      const received = messages[0]?.body.toString()
      if (received !== body) {
        throw new Error(`Sent "${body}" and read back ${JSON.stringify(received)}.`)
      }
      print(`Sent and received "${body}" (queue ${queue.queueId}, offset ${queueOffset}).`)
    }
  } catch (error) {
    if (error instanceof ClientError) {
      throw new Error(`The trial failed: ${error.message}`, { cause: error })
    }
    throw error
  } finally {
    await Promise.all([producer.close(), consumer.close()])
  }
}
