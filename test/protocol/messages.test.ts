import { crc32 } from 'node:zlib'
import t from 'tap'
import {
  BatchReader,
  ByteRange,
  bodyCrcOf,
  COMPRESSED_SYS_FLAG,
  compressBody,
  decodeCommand,
  decodeHost,
  decodeProperties,
  decodeStoredMessage,
  decodeStoredMessages,
  encodeBatch,
  encodeHost,
  encodeProperties,
  findProperty,
  getBodyCrc,
  getBodyRange,
  getBornTimestamp,
  getFlag,
  getMagic,
  getPhysicalOffset,
  getPreparedTransactionOffset,
  getPropertiesRange,
  getQueueId,
  getQueueOffset,
  getReconsumeTimes,
  getStoreTimestamp,
  getSysFlag,
  getTopicRange,
  getTotalSize,
  hostText,
  isStoredMessage,
  javaHash,
  javaHashOfBytes,
  MAGIC_BLANK,
  MAGIC_V1,
  MAGIC_V2,
  type MessageFields,
  MessageSysFlag,
  offsetMessageId,
  parseHostText,
  parseOffsetMessageId,
  plainBody,
  propertiesText,
  putPhysicalOffset,
  putQueueId,
  putQueueOffset,
  putStoreTimestamp,
  SendHeader,
  scanSendHeader,
  storedMessageSize,
  UniqueKeyGenerator,
  uniqueKeyTimeMs,
  writeStoredMessage
} from '../../src/protocol/index.ts'
import { frameOf, recordedFrames, recordedSegment } from './recorded.ts'

const segments = ['00000000000000000000', '00000000000000196608']

/** Positions of all messages of an original segment file: up to the blank record, or the zeros behind the last one. */
function positionsIn(segment: Buffer): number[] {
  const positions: number[] = []
  let at = 0
  while (at + 8 <= segment.length && getMagic(segment, at) === MAGIC_V1) {
    positions.push(at)
    at += getTotalSize(segment, at)
  }
  if (
    at + 8 <= segment.length &&
    getTotalSize(segment, at) !== 0 &&
    getMagic(segment, at) !== MAGIC_BLANK
  )
    throw new Error(`neither message nor blank at ${at}`)
  return positions
}

/** The raw parts of a stored message, as a broker that writes it has them. */
function fieldsAt(bytes: Buffer, at: number): MessageFields {
  const message = decodeStoredMessage(bytes, at)
  const topic = new ByteRange()
  const properties = new ByteRange()
  getTopicRange(bytes, at, topic)
  getPropertiesRange(bytes, at, properties)
  return {
    ...message,
    topicBytes: bytes.subarray(topic.start, topic.end),
    bornHost: encodeHost(message.bornHost.address, message.bornHost.port),
    storeHost: encodeHost(message.storeHost.address, message.storeHost.port),
    properties: bytes.subarray(properties.start, properties.end)
  }
}

t.test('every message of a 4.9.7 store decodes and is written again byte for byte', async t => {
  let messages = 0
  for (const name of segments) {
    const segment = recordedSegment(name)
    for (const at of positionsIn(segment)) {
      const fields = fieldsAt(segment, at)
      const size = getTotalSize(segment, at)
      t.equal(storedMessageSize(fields), size)
      const target = Buffer.alloc(size + 2, 0xee)
      t.equal(writeStoredMessage(target, 1, fields), size)
      t.equal(getPhysicalOffset(target, 1), 0)
      putPhysicalOffset(target, 1, Number(name) + at)
      t.equal(target.subarray(1, size + 1).compare(segment, at, at + size), 0, `${name} at ${at}`)
      t.equal(target[0], 0xee)
      t.equal(target[size + 1], 0xee)
      messages++
    }
  }
  t.ok(messages > 150, `${messages} messages`)
})

t.test('raw accessors read what decoding reads', async t => {
  for (const name of segments) {
    const segment = recordedSegment(name)
    for (const at of positionsIn(segment)) {
      const message = decodeStoredMessage(segment, at)
      const body = new ByteRange()
      getBodyRange(segment, at, body)
      t.strictSame(
        {
          totalSize: getTotalSize(segment, at),
          magic: getMagic(segment, at),
          bodyCrc: getBodyCrc(segment, at),
          queueId: getQueueId(segment, at),
          flag: getFlag(segment, at),
          queueOffset: getQueueOffset(segment, at),
          physicalOffset: getPhysicalOffset(segment, at),
          sysFlag: getSysFlag(segment, at),
          bornTimestamp: getBornTimestamp(segment, at),
          storeTimestamp: getStoreTimestamp(segment, at),
          reconsumeTimes: getReconsumeTimes(segment, at),
          preparedTransactionOffset: getPreparedTransactionOffset(segment, at),
          body: segment.subarray(body.start, body.end).toString('hex'),
          crc: bodyCrcOf(message.body)
        },
        {
          totalSize: message.totalSize,
          magic: message.magic,
          bodyCrc: message.bodyCrc,
          queueId: message.queueId,
          flag: message.flag,
          queueOffset: message.queueOffset,
          physicalOffset: Number(name) + at,
          sysFlag: message.sysFlag,
          bornTimestamp: message.bornTimestamp,
          storeTimestamp: message.storeTimestamp,
          reconsumeTimes: message.reconsumeTimes,
          preparedTransactionOffset: message.preparedTransactionOffset,
          body: message.body.toString('hex'),
          crc: message.bodyCrc
        }
      )
      const range = new ByteRange()
      getPropertiesRange(segment, at, range)
      for (const [name, value] of message.properties) {
        const found = new ByteRange()
        t.ok(findProperty(segment, range.start, range.end, Buffer.from(name), found), name)
        t.equal(segment.toString('utf8', found.start, found.end), value)
      }
      t.notOk(
        findProperty(segment, range.start, range.end, Buffer.from('UNIQ_KE'), new ByteRange())
      )
    }
  }
})

const sample = Buffer.from(
  '00000065daa320a758932aac000000010000000000000000000000020000000000000003000000000000000000000004' +
    '0a0000010000000100000000000000050a00000200002a9f00000000000000000000000000000002686901540007544147530141' +
    '02',
  'hex'
)

t.test('the sample of the original classes reads as documented', async t => {
  const message = decodeStoredMessage(sample)
  t.match(message, {
    totalSize: 101,
    magic: MAGIC_V1,
    queueId: 1,
    queueOffset: 2,
    physicalOffset: 3,
    bornTimestamp: 4,
    bornHost: { address: '10.0.0.1', port: 1 },
    storeTimestamp: 5,
    storeHost: { address: '10.0.0.2', port: 10_911 },
    topic: 'T'
  })
  t.equal(message.body.toString(), 'hi')
  t.strictSame([...message.properties], [['TAGS', 'A']])
  t.equal(offsetMessageId(encodeHost('10.0.0.2', 10_911), 3), '0A00000200002A9F0000000000000003')
})

t.test('messages from and to IPv6 hosts, and topics over 127 bytes, keep all fields', async t => {
  const hosts = [encodeHost('10.0.0.1', 1), encodeHost('2001:db8::1', 65_535)]
  for (const bornHost of hosts) {
    for (const storeHost of hosts) {
      for (const topic of ['T', 'x'.repeat(127), `%RETRY%${'g'.repeat(200)}`]) {
        const fields = {
          ...fieldsAt(sample, 0),
          topicBytes: Buffer.from(topic),
          bornHost,
          storeHost,
          sysFlag: MessageSysFlag.transactionCommit | MessageSysFlag.storeHostV6,
          queueOffset: 2 ** 52 + 1,
          preparedTransactionOffset: 2 ** 40
        }
        const bytes = Buffer.alloc(storedMessageSize(fields))
        writeStoredMessage(bytes, 0, fields)
        putQueueId(bytes, 0, 9)
        putQueueOffset(bytes, 0, 2 ** 53 - 1)
        putStoreTimestamp(bytes, 0, 1_795_216_995_599)
        t.ok(isStoredMessage(bytes, 0, bytes.length))
        const message = decodeStoredMessage(bytes)
        t.equal(message.magic, topic.length > 127 ? MAGIC_V2 : MAGIC_V1)
        t.match(message, {
          topic,
          queueId: 9,
          queueOffset: 2 ** 53 - 1,
          storeTimestamp: 1_795_216_995_599,
          preparedTransactionOffset: 2 ** 40,
          bornHost: decodeHost(bornHost),
          storeHost: decodeHost(storeHost)
        })
        t.equal(message.sysFlag & MessageSysFlag.transactionMask, MessageSysFlag.transactionCommit)
        t.strictSame([...message.properties], [['TAGS', 'A']])
      }
    }
  }
})

t.test(
  'bodies of recorded pull, query and view answers and checks are stored messages',
  async t => {
    let messages = 0
    for (const { file, requestCode, kind, bytes } of recordedFrames()) {
      const holds =
        kind === 'response' ? [11, 12, 33, 361].includes(requestCode) : requestCode === 39
      const command = decodeCommand(frameOf(bytes))
      if (!holds || command.body === null || (kind === 'response' && command.code !== 0)) continue
      for (const message of decodeStoredMessages(command.body)) {
        t.equal(bodyCrcOf(message.body), message.bodyCrc, file)
        plainBody(message.body, message.sysFlag, 4 * 1024 * 1024)
        messages++
      }
    }
    t.ok(messages > 20, `${messages} messages`)
  }
)

t.test('bytes that are no stored message are a bad body, whatever was flipped or cut', async t => {
  const fields: [what: string, at: number, value: number][] = [
    ['total size too small', 0, 90],
    ['total size beyond the end', 0, 102],
    ['blank magic', 4, MAGIC_BLANK | 0],
    ['body length negative', 84, -1],
    ['body length beyond the end', 84, 60],
    ['both hosts IPv6 that are not', 36, 0x30]
  ]
  for (const [what, at, value] of fields) {
    const broken = Buffer.from(sample)
    broken.writeInt32BE(value, at)
    t.throws(() => decodeStoredMessage(broken), { code: 'LMQ_BAD_BODY' }, what)
  }
  for (let end = 0; end < sample.length; end++) t.notOk(isStoredMessage(sample, 0, end))
  t.throws(() => decodeStoredMessages(Buffer.concat([sample, Buffer.from('x')])), {
    code: 'LMQ_BAD_BODY'
  })
  t.throws(
    () =>
      writeStoredMessage(Buffer.alloc(40_000), 0, {
        ...fieldsAt(sample, 0),
        properties: Buffer.alloc(32_768)
      }),
    {
      name: 'RangeError'
    }
  )
})

t.test('a batch body is read as clients write it, and written so', async t => {
  const original = Buffer.from(
    '00000034000000000000000000000000000000026869001c4b455953016b31025741495401747275650254414753017461674102',
    'hex'
  )
  const reader = new BatchReader(original)
  t.ok(reader.next())
  t.equal(reader.body.toString(), 'hi')
  t.strictSame(
    [...decodeProperties(reader.properties)],
    [
      ['KEYS', 'k1'],
      ['WAIT', 'true'],
      ['TAGS', 'tagA']
    ]
  )
  t.notOk(reader.next())
  t.equal(
    encodeBatch([{ flag: 0, body: reader.body, properties: reader.properties }]).toString('hex'),
    original.toString('hex')
  )

  const header = new SendHeader()
  for (const { file, requestCode, kind, bytes } of recordedFrames()) {
    if (requestCode !== 320 || kind !== 'request') continue
    const frame = frameOf(bytes)
    t.ok(scanSendHeader(frame, header) && header.batch, file)
    const messages = []
    for (const batch = new BatchReader(frame.bytes, frame.bodyAt, frame.end); batch.next(); ) {
      messages.push({ flag: batch.flag, body: batch.body, properties: batch.properties })
    }
    t.ok(messages.length > 1)
    t.equal(encodeBatch(messages).toString('hex'), frame.body.toString('hex'), file)
  }
  for (const [at, value] of [
    [0, 51],
    [0, 53],
    [0, -1],
    [16, -1],
    [16, 100]
  ] as const) {
    const broken = Buffer.from(original)
    broken.writeInt32BE(value, at)
    t.throws(() => new BatchReader(broken).next(), { code: 'LMQ_BAD_BODY' }, `${value} at ${at}`)
  }
  const long = Buffer.alloc(22 + 40_000)
  long.writeInt32BE(long.length, 0)
  long.writeUInt16BE(40_000, 20)
  t.throws(
    () => new BatchReader(long).next(),
    { code: 'LMQ_BAD_BODY' },
    'properties over the limit'
  )
  t.throws(() => new BatchReader(original, 0, 30).next(), { code: 'LMQ_BAD_BODY' })
})

t.test('properties read with and without the last separator, and odd pieces vanish', async t => {
  const read = (text: string): [string, string][] => [...decodeProperties(Buffer.from(text))]
  t.strictSame(read('a\u00011\u0002b\u00012'), [
    ['a', '1'],
    ['b', '2']
  ])
  t.strictSame(read('a\u00011\u0002b\u00012\u0002'), [
    ['a', '1'],
    ['b', '2']
  ])
  t.strictSame(read('\u0001x\u0002novalue\u0001\u0002noname\u0002a\u00011\u00012\u0002ü\u0001é'), [
    ['a', '1\u00012'],
    ['ü', 'é']
  ])
  t.strictSame(read(''), [])
  t.strictSame(read('a\u00011\u0002a\u00012'), [['a', '2']])
  const pairs: [string, string][] = [
    ['KEYS', 'k 1'],
    ['empty', ''],
    ['TAGS', 'ü']
  ]
  t.equal(propertiesText(pairs), 'KEYS\u0001k 1\u0002TAGS\u0001ü\u0002')
  t.equal(encodeProperties(pairs).toString(), propertiesText(pairs))
})

t.test('finding a property in bytes gives what decoding gives', async t => {
  const bytes = Buffer.from(
    'xTAGS\u0001no\u0002TAGSx\u0001no\u0002TAGS\u0001\u0002TAGS\u0001one\u0002K\u0001TAGS\u0002TAGS\u0001two'
  )
  const found = new ByteRange()
  const range = (name: string): string | null =>
    findProperty(bytes, 0, bytes.length, Buffer.from(name), found)
      ? bytes.toString('utf8', found.start, found.end)
      : null
  t.equal(range('TAGS'), 'two')
  t.equal(range('K'), 'TAGS')
  t.equal(range('TAG'), null)
  t.equal(range('xTAGS'), 'no')
  t.notOk(findProperty(bytes, 0, 0, Buffer.from('K'), found))
})

t.test('tag hashes are Java’s', async t => {
  for (const [tag, hash] of [
    ['tagA', 3_552_231],
    ['TagB', 2_598_920],
    ['', 0],
    ['a long tag that wraps around', javaHash('a long tag that wraps around')],
    ['ü😀', 2_015_071]
  ] as const) {
    const bytes = Buffer.from(`<${tag}>`)
    t.equal(javaHashOfBytes(bytes, 1, bytes.length - 1), hash, tag)
    t.equal(javaHash(tag), hash, tag)
  }
  t.equal(javaHash('polygenelubricants'), -2_147_483_648)
})

t.test('hosts convert both ways, IPv6 shortened, mapped IPv4 as IPv4', async t => {
  const cases: [string, string][] = [
    ['127.0.0.1', '7f00000100002a9f'],
    ['::ffff:10.1.2.3', '0a01020300002a9f'],
    ['::1', '0000000000000000000000000000000100002a9f'],
    ['2001:db8::8:800:200c:417a', '20010db80000000000080800200c417a00002a9f'],
    ['fe80::1%eth0', 'fe80000000000000000000000000000100002a9f'],
    ['1:2:3:4:5:6:7:8', '0001000200030004000500060007000800002a9f'],
    ['64:ff9b::192.0.2.33', '0064ff9b0000000000000000c000022100002a9f']
  ]
  const shown = [
    '127.0.0.1',
    '10.1.2.3',
    '::1',
    '2001:db8::8:800:200c:417a',
    'fe80::1',
    '1:2:3:4:5:6:7:8',
    '64:ff9b::c000:221'
  ]
  for (const [i, [address, hex]] of cases.entries()) {
    t.equal(encodeHost(address, 10_911).toString('hex'), hex)
    t.strictSame(decodeHost(Buffer.from(hex, 'hex')), { address: shown[i], port: 10_911 })
  }
  t.equal(decodeHost(Buffer.from(`${'00'.repeat(16)}00000001`, 'hex')).address, '::')
  t.equal(decodeHost(Buffer.from(`0001${'00'.repeat(12)}000000000001`, 'hex')).address, '1::')
  for (const bad of [
    '',
    'localhost',
    '1.2.3',
    '1.2.3.256',
    '1:2',
    '1::2::3',
    '1:2:3:4:5:6:7:8:9',
    ':::',
    'g::1'
  ]) {
    t.throws(() => encodeHost(bad, 1), { name: 'RangeError' }, bad)
  }
  t.equal(hostText({ address: '::1', port: 5 }), '[::1]:5')
  t.strictSame(parseHostText('[::1]:5'), { address: '::1', port: 5 })
  t.strictSame(parseHostText('broker-a:10911'), { address: 'broker-a', port: 10_911 })
  for (const bad of ['', 'x', ':5', 'x:', 'x:70000', 'x:1a']) t.equal(parseHostText(bad), null, bad)
})

t.test('offset message ids convert both ways for IPv4 and IPv6', async t => {
  for (const host of ['127.0.0.1', '2001:db8::7']) {
    for (const physicalOffset of [0, 255, 2 ** 32 + 5, 2 ** 53 - 1]) {
      const id = offsetMessageId(encodeHost(host, 10_911), physicalOffset)
      t.equal(id.length, host.includes(':') ? 56 : 32)
      t.equal(id, id.toUpperCase())
      t.strictSame(parseOffsetMessageId(id), {
        host: { address: host, port: 10_911 },
        physicalOffset
      })
    }
  }
  for (const bad of ['', 'x'.repeat(32), '0'.repeat(31)]) t.equal(parseOffsetMessageId(bad), null)
})

t.test('unique keys have the original’s parts and tell their time', async t => {
  const start = Date.UTC(2024, 1, 1)
  const generator = new UniqueKeyGenerator({
    address: '10.0.0.9',
    processId: 0x1_2345,
    random: Buffer.from('a1b2c3d4', 'hex')
  })
  t.equal(generator.next(start + 5), '0A0000092345A1B2C3D4000000050000')
  t.equal(generator.next(start + 6), '0A0000092345A1B2C3D4000000060001')
  const last = Date.UTC(2024, 1, 29, 23, 59, 59, 999)
  t.equal(
    generator.next(last),
    `0A0000092345A1B2C3D4${(last - start).toString(16).toUpperCase().padStart(8, '0')}0002`
  )
  t.equal(generator.next(last + 1), '0A0000092345A1B2C3D4000000000003')
  const days = [
    Date.UTC(2023, 11, 31, 23),
    Date.UTC(2024, 0, 1),
    Date.UTC(2024, 1, 29),
    Date.UTC(2100, 1, 28),
    Date.UTC(2026, 10, 25, 12)
  ]
  for (const timeMs of days) {
    const key = generator.next(timeMs)
    t.equal(uniqueKeyTimeMs(key, timeMs + 1000), timeMs, String(timeMs))
  }
  const march = Date.UTC(2100, 2, 1)
  t.equal(generator.next(march).slice(20, 28), '00000000', '2100 has no leap day')
  const january = generator.next(Date.UTC(2026, 0, 31))
  t.equal(
    uniqueKeyTimeMs(january, Date.UTC(2026, 1, 2)),
    Date.UTC(2026, 0, 31),
    'a time ahead of now is of the month before'
  )
  const east = new UniqueKeyGenerator({
    address: '::1',
    processId: 1,
    random: Buffer.alloc(4),
    utcOffsetMs: 8 * 3_600_000
  })
  const key = east.next(Date.UTC(2026, 4, 31, 16))
  t.equal(key.length, 56)
  t.equal(key.slice(44, 52), '00000000', 'already June eight hours east')
  const many = new Set(
    Array.from({ length: 70_000 }, (_, i) => generator.next(start + Math.floor(i / 100)))
  )
  t.equal(many.size, 70_000)
  t.equal(uniqueKeyTimeMs('nonsense', start), null)
})

t.test('compressed bodies unpack, with a limit, and other kinds than zlib are refused', async t => {
  const body = Buffer.alloc(10_000, 'ab')
  const packed = compressBody(body)
  t.ok(packed.length < 200)
  t.equal(plainBody(packed, COMPRESSED_SYS_FLAG, 10_000).compare(body), 0)
  t.equal(
    plainBody(packed, MessageSysFlag.compressed, 10_000).compare(body),
    0,
    'no kind means zlib'
  )
  t.equal(plainBody(body, 0, 10), body)
  t.throws(() => plainBody(packed, COMPRESSED_SYS_FLAG, 9_999), { code: 'LMQ_BAD_BODY' })
  t.throws(() => plainBody(body, COMPRESSED_SYS_FLAG, 20_000), { code: 'LMQ_BAD_BODY' })
  t.throws(
    () => plainBody(packed, MessageSysFlag.compressed | MessageSysFlag.compressionLz4, 10_000),
    /only zlib/
  )
  t.equal(bodyCrcOf(body), crc32(body) & 0x7fffffff)
})
