// An order and its message happen together or not at all: the message is delivered when the order is booked.
import { PushConsumer, TransactionProducer, type TransactionVerdict } from 'ledgermq'

const nameServers = process.env['NAMESRV_ADDR'] ?? '127.0.0.1:9876'
/** Stands for the database that the order is booked in. */
const booked = new Map<string, TransactionVerdict>()

const producer = new TransactionProducer({
  group: 'example_transactions',
  nameServers,
  listener: {
    executeLocal(message) {
      const order = String(message.body)
      const verdict = order === 'order 2' ? 'rollback' : 'commit'
      booked.set(order, verdict)
      // 'unknown' (or an exception) leaves it in doubt: the broker asks checkLocal later.
      return verdict
    },
    checkLocal: message => booked.get(message.body.toString()) ?? 'rollback'
  }
})
let left = 2
let finish = (): void => {}
const finished = new Promise<void>(resolve => {
  finish = resolve
})
const consumer = new PushConsumer({
  group: 'example_transaction_consumer',
  nameServers,
  consumeFrom: 'first',
  listener(messages) {
    for (const message of messages) {
      console.log(`${message.body.toString()} is delivered`)
      if (--left === 0) finish()
    }
  }
})
await producer.start()
for (const body of ['order 1', 'order 2', 'order 3']) {
  const { verdict } = await producer.sendInTransaction({ topic: 'ExampleTransactions', body })
  console.log(`${body}: ${verdict}`)
}
consumer.subscribe('ExampleTransactions')
await consumer.start()
await finished
await producer.close()
await consumer.close()
