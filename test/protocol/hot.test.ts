import t from 'tap'
import {
  CommandFlag,
  decodeCommand,
  encodeCommand,
  encodeHost,
  type Frame,
  LanguageCode,
  offsetMessageId,
  PULL_RESPONSE_HEAD_BYTES_MAX,
  PullHeader,
  PullResponseWriter,
  pullHeaderFromCommand,
  RequestCode,
  request,
  SendHeader,
  SendResponseWriter,
  SerializeType,
  scanPullHeader,
  scanSendHeader,
  sendExtFields,
  sendHeaderFromCommand,
  Version
} from '../../src/protocol/index.ts'
import { frameOf, recordedFrames } from './recorded.ts'

const recorded = recordedFrames()

function sendFields(header: SendHeader): unknown {
  const { propertiesSource, propertiesAt, propertiesBytes, ...rest } = header
  return { ...rest, oneway: header.oneway, properties: header.properties.toString('hex') }
}

function requestsOf(...codes: number[]): { file: string; frame: Frame }[] {
  return recorded
    .filter(frame => frame.kind === 'request' && codes.includes(frame.requestCode))
    .map(({ file, bytes }) => ({ file, frame: frameOf(bytes) }))
}

function jsonFrame(text: string): Frame {
  const header = Buffer.from(text)
  const bytes = Buffer.alloc(8 + header.length)
  bytes.writeInt32BE(bytes.length - 4, 0)
  bytes.writeInt32BE(header.length, 4)
  header.copy(bytes, 8)
  return frameOf(bytes)
}

t.test('the send scanner agrees with the general way on every recorded send', async t => {
  const scanned = new SendHeader()
  const general = new SendHeader()
  const sends = requestsOf(310, 320, 325)
  t.ok(sends.length >= 15, `${sends.length} sends`)
  for (const { file, frame } of sends) {
    const command = decodeCommand(frame)
    for (const serializeType of [SerializeType.JSON, SerializeType.ROCKETMQ]) {
      const again = frameOf(Buffer.concat(encodeCommand({ ...command, serializeType })))
      t.ok(scanSendHeader(again, scanned), file)
      sendHeaderFromCommand({ ...command, serializeType }, general)
      t.strictSame(sendFields(scanned), sendFields(general), file)
    }
    t.ok(scanSendHeader(frame, scanned), `${file} as recorded`)
    t.equal(scanned.properties.toString(), command.extFields!['i'] ?? '')
  }
})

t.test('the pull scanner agrees with the general way on every recorded pull', async t => {
  const scanned = new PullHeader()
  const general = new PullHeader()
  const pulls = requestsOf(11, 361)
  t.ok(pulls.length >= 20, `${pulls.length} pulls`)
  for (const { file, frame } of pulls) {
    const command = decodeCommand(frame)
    for (const serializeType of [SerializeType.JSON, SerializeType.ROCKETMQ]) {
      const again = frameOf(Buffer.concat(encodeCommand({ ...command, serializeType })))
      t.ok(scanPullHeader(again, scanned), file)
      pullHeaderFromCommand({ ...command, serializeType }, general)
      t.strictSame({ ...scanned }, { ...general }, file)
    }
    t.ok(scanPullHeader(frame, scanned), `${file} as recorded`)
  }
})

const sendText = {
  code: '"code":310',
  language: '"language":"GO"',
  version: '"version":317',
  opaque: '"opaque":-7',
  flag: '"flag":2',
  ext: '"extFields":{"i":"K\\u0001v\\u00e4\\ud83d\\ude00\\n\\"ü\\u0002","x":"\\u0041","b":"T\\u0031","a":"P","c":"TBW102","d":"4","e":"-1","f":"0","g":"1700000000000","h":"5","l":"16","m":"true","k":"TRUE"}'
}

t.test('a JSON send may have its keys in any order, blanks and all escapes', async t => {
  const header = new SendHeader()
  const parts = Object.values(sendText)
  for (let turn = 0; turn < parts.length; turn++) {
    const order = [...parts.slice(turn), ...parts.slice(0, turn)]
    for (const text of [`{${order.join(',')}}`, ` {\n ${order.join(' ,\t')} } `]) {
      t.ok(scanSendHeader(jsonFrame(text), header), text)
      t.match(header, {
        code: 310,
        language: LanguageCode.GO,
        version: 317,
        opaque: -7,
        commandFlag: CommandFlag.oneway,
        oneway: true,
        producerGroup: 'P',
        topic: 'T1',
        queueId: -1,
        bornTimestamp: 1_700_000_000_000,
        flag: 5,
        reconsumeTimes: 0,
        maxReconsumeTimes: 16,
        batch: true,
        unitMode: true
      })
      t.equal(header.properties.toString(), 'K\u0001vä😀\n"ü\u0002')
    }
  }
})

t.test('the long names of code 10 are scanned, and not taken for those of 310', async t => {
  const header = new SendHeader()
  const fields = `"producerGroup":"P","topic":"T","defaultTopic":"TBW102","defaultTopicQueueNums":"4","queueId":"2","sysFlag":"1","bornTimestamp":"9","flag":"0","properties":"a\\u0001b","reconsumeTimes":"1","unitMode":"false","maxReconsumeTimes":"0","batch":"false","bname":"true"`
  const text = (code: number): string =>
    `{"code":${code},"extFields":{${fields}},"opaque":3,"flag":0,"version":317}`
  t.ok(scanSendHeader(jsonFrame(text(RequestCode.SEND_MESSAGE)), header))
  t.match(header, {
    topic: 'T',
    queueId: 2,
    sysFlag: 1,
    reconsumeTimes: 1,
    maxReconsumeTimes: 0,
    batch: false
  })
  t.notOk(scanSendHeader(jsonFrame(text(RequestCode.SEND_MESSAGE_V2)), header))
  const general = new SendHeader()
  sendHeaderFromCommand(decodeCommand(jsonFrame(text(RequestCode.SEND_MESSAGE))), general)
  t.equal(general.properties.toString(), 'a\u0001b')
})

t.test('what the scanner does not take, the general way names', async t => {
  const header = new SendHeader()
  const valid = `{${Object.values(sendText).join(',')}}`
  const cases: [what: string, text: string, wanted: RegExp][] = [
    ['topic missing', valid.replace('"b":"T\\u0031",', ''), /field b is missing/],
    ['queue id not a number', valid.replace('"e":"-1"', '"e":"1x"'), /field e is '1x'/],
    ['queue id above 32 bits', valid.replace('"e":"-1"', '"e":"2147483648"'), /field e is/],
    ['time empty', valid.replace('"g":"1700000000000"', '"g":""'), /field g is/]
  ]
  for (const [what, text, wanted] of cases) {
    const frame = jsonFrame(text)
    t.notOk(scanSendHeader(frame, header), what)
    t.throws(
      () => sendHeaderFromCommand(decodeCommand(frame), header),
      { code: 'LMQ_BAD_HEADER', message: wanted },
      what
    )
  }
  for (const text of [
    `${valid}x`,
    valid.slice(0, -1),
    valid.replace('"opaque":-7', '"opaque":-7.5')
  ]) {
    t.notOk(scanSendHeader(jsonFrame(text), header), text.slice(-30))
  }
  const numeric = jsonFrame(valid.replace('"e":"-1"', '"e":-1'))
  t.notOk(scanSendHeader(numeric, header), 'a number as value is left to the general way')
  sendHeaderFromCommand(decodeCommand(numeric), header)
  t.equal(header.queueId, -1)
})

t.test('a mutated send never scans to something else than the general way reads', async t => {
  const scanned = new SendHeader()
  const general = new SendHeader()
  let seed = 7
  const random = (limit: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    return Math.floor((seed / 2 ** 32) * limit)
  }
  let both = 0
  for (const { file, frame } of requestsOf(310, 320)) {
    for (let round = 0; round < 300; round++) {
      const bytes = Buffer.from(frame.bytes.subarray(frame.headerAt - 8, frame.end))
      bytes[8 + random(frame.bodyAt - frame.headerAt)] = random(128)
      const mutated = frameOf(bytes)
      if (!scanSendHeader(mutated, scanned)) continue
      sendHeaderFromCommand(decodeCommand(mutated), general)
      const got = sendFields(scanned) as { properties: string }
      const wanted = sendFields(general) as { properties: string }
      t.strictSame(got, wanted, file)
      both++
    }
  }
  t.ok(both > 500, `${both} mutants were readable`)
})

t.test('a client’s send header reads back as it was given', async t => {
  const fields = sendExtFields({
    producerGroup: 'P',
    topic: 'T',
    defaultTopic: 'TBW102',
    defaultTopicQueueNums: 4,
    queueId: 3,
    sysFlag: 0,
    bornTimestamp: 1_795_216_962_480,
    flag: 0,
    properties: 'TAGS\u0001A\u0002',
    reconsumeTimes: 0,
    unitMode: false,
    maxReconsumeTimes: null,
    batch: false,
    brokerName: 'b-a'
  })
  const header = new SendHeader()
  t.ok(
    scanSendHeader(frameOf(encodeCommand(request(RequestCode.SEND_MESSAGE_V2, fields))[0]!), header)
  )
  t.match(header, { topic: 'T', queueId: 3, maxReconsumeTimes: null })
  t.equal(header.properties.toString(), 'TAGS\u0001A\u0002')
})

const storeHost = encodeHost('127.0.0.1', 30_911)

t.test('a send answer written in place decodes to the recorded one', async t => {
  const writer = new SendResponseWriter({
    version: Version.V4_9_7,
    language: LanguageCode.JAVA,
    regionId: 'DefaultRegion',
    traceOn: true,
    storeHost
  })
  let compared = 0
  for (const { file, requestCode, kind, bytes } of recorded) {
    if (kind !== 'response' || ![310, 320].includes(requestCode)) continue
    const command = decodeCommand(frameOf(bytes))
    const ids = command.extFields?.['msgId']?.split(',')
    if (command.code !== 0 || ids === undefined) continue
    const offsets = ids.map(id => Number.parseInt(id.slice(-16), 16))
    const target = Buffer.alloc(16 + writer.bytesMax(ids.length), 0xee)
    const written = writer.write(target, 16, {
      opaque: command.opaque,
      serializeType: command.serializeType,
      code: command.code,
      queueId: Number(command.extFields!['queueId']),
      queueOffset: Number(command.extFields!['queueOffset']),
      physicalOffset: offsets[0]!,
      batchPhysicalOffsets: offsets.length > 1 ? offsets : null,
      transactionId: null
    })
    t.equal(target[16 + written], 0xee, 'nothing is written behind the frame')
    t.strictSame(decodeCommand(frameOf(target.subarray(16, 16 + written))), command, file)
    compared++
  }
  t.ok(compared >= 8, `${compared} answers`)
})

t.test('a send answer holds every number, any transaction id, and IPv6 hosts', async t => {
  const host = encodeHost('2001:db8::7', 10_911)
  const writer = new SendResponseWriter({
    version: 479,
    language: 7,
    regionId: 'R "1"',
    traceOn: false,
    storeHost: host
  })
  const offsets = [0, 1, 9, 10, 99_999_999, 100_000_000, 4_294_967_296, 2 ** 53 - 1]
  for (const serializeType of [SerializeType.JSON, SerializeType.ROCKETMQ]) {
    for (const offset of offsets) {
      const target = Buffer.alloc(writer.bytesMax())
      const transactionId = `"\u0001ü${'x'.repeat(200)}`
      const written = writer.write(target, 0, {
        opaque: -2_147_483_648,
        serializeType,
        code: 12,
        queueId: 2_147_483_647,
        queueOffset: offset,
        physicalOffset: offset,
        batchPhysicalOffsets: null,
        transactionId
      })
      const command = decodeCommand(frameOf(target.subarray(0, written)))
      t.match(command, {
        code: 12,
        opaque: -2_147_483_648,
        flag: 1,
        version: 479,
        language: 7,
        remark: null
      })
      t.strictSame(
        { ...command.extFields },
        {
          msgId: offsetMessageId(host, offset),
          queueId: '2147483647',
          queueOffset: String(offset),
          transactionId,
          TRACE_ON: 'false',
          MSG_REGION: 'R "1"'
        }
      )
    }
  }
})

t.test('the head of a pull answer decodes to the recorded one', async t => {
  const writer = new PullResponseWriter({ version: Version.V4_9_7, language: LanguageCode.JAVA })
  const codes = new Set<number>()
  for (const { file, requestCode, kind, bytes } of recorded) {
    if (kind !== 'response' || requestCode !== 11) continue
    const command = decodeCommand(frameOf(bytes))
    if (command.extFields?.['nextBeginOffset'] === undefined) continue
    const body = command.body ?? Buffer.alloc(0)
    const target = Buffer.alloc(8 + PULL_RESPONSE_HEAD_BYTES_MAX)
    const written = writer.write(
      target,
      8,
      {
        opaque: command.opaque,
        serializeType: command.serializeType,
        code: command.code,
        remark: command.remark,
        suggestWhichBrokerId: Number(command.extFields['suggestWhichBrokerId']),
        nextBeginOffset: Number(command.extFields['nextBeginOffset']),
        minOffset: Number(command.extFields['minOffset']),
        maxOffset: Number(command.extFields['maxOffset'])
      },
      body.length
    )
    const whole = Buffer.concat([target.subarray(8, 8 + written), body])
    t.strictSame(decodeCommand(frameOf(whole)), command, file)
    codes.add(command.code)
  }
  t.ok(codes.has(0) && codes.has(19), `codes ${[...codes].join(', ')}`)
})
