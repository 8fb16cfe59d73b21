/** The store of the running original (4.9.7), sent again into ours: the same queues, tags, due times and keys come out. */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import {
  decodeStoredMessage,
  MAGIC_BLANK,
  MAGIC_V1,
  type StoredMessage
} from '../../src/protocol/index.ts'
import { UNIT_BYTES } from '../../src/store/consumeQueue.ts'
import { compareText, HOST, messagesOf, openLeader, pull, send } from './helpers.ts'

const RECORDED = 'test/vectors/store/master-4.9.7.tgz'

/** Regular files of a tar archive by path. */
function untar(bytes: Buffer): Map<string, Buffer> {
  const files = new Map<string, Buffer>()
  for (let at = 0; at + 512 <= bytes.length; ) {
    const text = (from: number, length: number): string =>
      bytes.toString('latin1', at + from, at + from + length).replace(/\0.*$/s, '')
    const size = Number.parseInt(text(124, 12), 8) || 0
    if (text(156, 1) === '0') files.set(text(0, 100), bytes.subarray(at + 512, at + 512 + size))
    at += 512 + Math.ceil(size / 512) * 512
  }
  return files
}

function messagesIn(files: Map<string, Buffer>): { stored: StoredMessage; bytes: Buffer }[] {
  const found: { stored: StoredMessage; bytes: Buffer }[] = []
  for (const name of [...files.keys()]
    .filter(path => path.includes('/commitlog/'))
    .sort(compareText)) {
    const segment = files.get(name)!
    for (let at = 0; at + 8 <= segment.length; ) {
      const size = segment.readUInt32BE(at)
      const magic = segment.readUInt32BE(at + 4)
      if (size === 0 || magic === MAGIC_BLANK) break
      if (magic !== MAGIC_V1) throw new Error(`${name}: magic ${magic} at ${at}`)
      found.push({
        stored: decodeStoredMessage(segment, at),
        bytes: segment.subarray(at, at + size)
      })
      at += size
    }
  }
  return found
}

t.test('what the original stored comes out of our store the same', async t => {
  const files = untar(gunzipSync(readFileSync(RECORDED)))
  const messages = messagesIn(files)
  t.ok(messages.length > 600, `${messages.length} messages`)
  const { store, log } = await openLeader(t.testdir())
  for (const { stored, bytes } of messages) {
    log.timeMs = stored.storeTimestamp
    const propertiesAt = bytes.length - propertiesBytes(stored, bytes)
    const waiter = await send(store, {
      topic: stored.topic,
      queueId: stored.queueId,
      flag: stored.flag,
      sysFlag: stored.sysFlag,
      bornTimestamp: stored.bornTimestamp,
      bornHost: bytes.subarray(48, 56),
      storeHost: bytes.subarray(64, 72),
      reconsumeTimes: stored.reconsumeTimes,
      preparedTransactionOffset: stored.preparedTransactionOffset,
      body: stored.body,
      properties: bytes.subarray(propertiesAt)
    })
    const ours = Buffer.from((await store.messageAt(waiter.physicalOffset))!)
    // Only the place in the log differs.
    ours.set(bytes.subarray(28, 36), 28)
    if (!ours.equals(bytes)) return t.fail(`message at ${stored.physicalOffset} is not the same`)
  }
  let units = 0
  for (const [path, queue] of files) {
    const [, topic, queueId] = /consumequeue\/([^/]+)\/(\d+)\//.exec(path) ?? []
    if (topic === undefined || queueId === undefined) continue
    for (let offset = 0; queue.readUInt32BE(offset * UNIT_BYTES + 8) > 0; offset++) {
      const unit = await store.unit(topic, Number(queueId), offset)
      const at = offset * UNIT_BYTES
      const expected = [queue.readUInt32BE(at + 8), Number(queue.readBigInt64BE(at + 12))]
      const actual = [unit?.size, unit?.tagsCode]
      if (`${actual}` !== `${expected}`)
        return t.fail(`${path}, unit ${offset}: ${actual} for ${expected}`)
      units += 1
      if ((offset + 1) * UNIT_BYTES >= queue.length) break
    }
  }
  t.ok(units >= 600, `${units} units`)
  // test/vectors: what mqadmin topicStatus and queryMsgByKey said of that store.
  t.strictSame(
    [0, 1, 2, 3].map(queueId => store.maxOffset('Fill0', queueId)),
    [48, 55, 50, 50]
  )
  const places = [
    ['bk3', 'Fill0', 1, 53],
    ['k10', 'Fill1', 2, 0],
    ['k307', 'Fill1', 1, 49]
  ] as const
  for (const [key, topic, queueId, queueOffset] of places) {
    for (const searched of ['Fill0', 'Fill1', 'Fill2']) {
      const found = await store.query({
        topic: searched,
        key,
        maxMessages: 64,
        beginTimestamp: 0,
        endTimestamp: 1e15
      })
      const seen = messagesOf({ chunks: found.messages } as never).map(one => [
        one.queueId,
        one.queueOffset
      ])
      t.strictSame(
        seen,
        searched === topic ? [[queueId, queueOffset]] : [],
        `${key} in ${searched}`
      )
    }
  }
  const seen: number[] = []
  for (let offset = 0; offset < 55; ) {
    const result = await pull(store, { topic: 'Fill0', queueId: 1, offset })
    seen.push(...messagesOf(result).map(one => one.queueOffset))
    offset = result.nextBeginOffset
  }
  t.strictSame(seen, [...Array(55).keys()])
  return await store.stop()
})

function propertiesBytes(stored: StoredMessage, bytes: Buffer): number {
  return bytes.length - (88 + stored.body.length + 1 + Buffer.byteLength(stored.topic) + 2)
}

t.test('the recorded hosts are IPv4, as the offsets of this test assume', async t => {
  const messages = messagesIn(untar(gunzipSync(readFileSync(RECORDED))))
  t.ok(messages.every(({ stored }) => (stored.sysFlag & 0x30) === 0))
  t.equal(HOST.length, 8)
})
