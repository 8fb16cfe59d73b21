import t from 'tap'
import {
  CommandPeek,
  decodeCommand,
  encodeCommand,
  FRAME_BYTES_MAX,
  FrameReader,
  LanguageCode,
  languageCode,
  ProtocolError,
  peekCode,
  peekCommand,
  type RemotingCommand,
  RequestCode,
  request,
  SerializeType,
  versionName,
  versionOrdinal
} from '../../src/protocol/index.ts'
import { frameOf, recordedFrames } from './recorded.ts'

const recorded = recordedFrames()

/** A header as recorded, in the shape of ours: the recorder kept '' for no remark and texts for languages. */
function expected(header: Record<string, unknown>): unknown {
  const language = header['language']
  return {
    code: header['code'],
    language: typeof language === 'string' ? languageCode(language) : language,
    version: header['version'],
    opaque: header['opaque'],
    flag: header['flag'],
    remark: header['remark'] === '' || header['remark'] === undefined ? null : header['remark'],
    extFields: header['extFields'] ?? null
  }
}

function fieldsOf(command: RemotingCommand): unknown {
  const { code, language, version, opaque, flag, remark, extFields } = command
  return { code, language, version, opaque, flag, remark, extFields }
}

t.test('every recorded frame decodes to the header that was recorded', async t => {
  t.ok(recorded.length > 250, `${recorded.length} frames`)
  for (const { file, header, bytes } of recorded) {
    const wanted = expected(header) as { extFields: Record<string, string> | null }
    const got = fieldsOf(decodeCommand(frameOf(bytes))) as {
      extFields: Record<string, string> | null
    }
    // A binary header without entries cannot tell "none" from "empty".
    if (wanted.extFields !== null && Object.keys(wanted.extFields).length === 0)
      wanted.extFields = got.extFields ?? {}
    if (got.extFields === null && wanted.extFields !== null) got.extFields = {}
    t.strictSame(got, wanted, file)
  }
})

t.test('what we encode decodes to the same in every field', async t => {
  for (const { file, bytes } of recorded) {
    const command = decodeCommand(frameOf(bytes))
    for (const serializeType of [SerializeType.JSON, SerializeType.ROCKETMQ]) {
      const again = decodeCommand(
        frameOf(Buffer.concat(encodeCommand({ ...command, serializeType })))
      )
      if (command.extFields !== null && Object.keys(command.extFields).length === 0)
        again.extFields ??= {}
      t.strictSame(again, { ...command, serializeType }, file)
    }
  }
})

t.test('a header is written byte for byte as the Java client writes it', async t => {
  let compared = 0
  for (const { file, from, kind, bytes } of recorded) {
    if (!from.startsWith('java') || kind !== 'request') continue
    const command = decodeCommand(frameOf(bytes))
    t.equal(Buffer.concat(encodeCommand(command)).toString('hex'), bytes.toString('hex'), file)
    compared++
  }
  t.ok(compared > 100, `${compared} requests`)
})

const stream = Buffer.concat(recorded.map(frame => frame.bytes))

function framesOf(chunkBytes: number): string[] {
  const reader = new FrameReader()
  const found: string[] = []
  for (let at = 0; at < stream.length; at += chunkBytes) {
    reader.push(Buffer.from(stream.subarray(at, at + chunkBytes)))
    for (let frame = reader.next(); frame !== null; frame = reader.next()) {
      found.push(
        `${frame.serializeType} ${frame.header.toString('base64')} ${frame.body.toString('base64')}`
      )
    }
  }
  t.equal(reader.pendingBytes, 0)
  return found
}

t.test('frames come out whole however the socket cuts them', async t => {
  const whole = framesOf(stream.length)
  t.equal(whole.length, recorded.length)
  for (const bytes of [1, 2, 3, 5, 1024, 65_536])
    t.strictSame(framesOf(bytes), whole, `${bytes} bytes at a time`)
})

t.test('chunks may be pushed before the frames of the last one were taken', async t => {
  const reader = new FrameReader()
  const two = Buffer.concat(recorded.slice(0, 2).map(frame => frame.bytes))
  reader.push(two.subarray(0, 3))
  reader.push(two.subarray(3, 10))
  reader.push(two.subarray(10))
  t.equal(reader.next()?.bodyBytes, frameOf(recorded[0]!.bytes).bodyBytes)
  t.equal(reader.next()?.bodyBytes, frameOf(recorded[1]!.bytes).bodyBytes)
  t.equal(reader.next(), null)
})

t.test(
  'a length outside the limits, an unknown serialize type or a header beyond the frame ends the stream',
  async t => {
    const cases: [what: string, hex: string][] = [
      ['negative length', 'ffffffff00000000'],
      ['length without room for the header word', '0000000300000000'],
      ['above 16 MiB', '0100000000000000'],
      ['serialize type 2', '0000001002000004'],
      ['header beyond the frame', '0000000800000005aabbccdd']
    ]
    for (const [what, hex] of cases) {
      const reader = new FrameReader()
      reader.push(Buffer.concat([Buffer.from(hex, 'hex'), Buffer.alloc(32)]))
      t.throws(() => reader.next(), { code: 'LMQ_BAD_FRAME' }, what)
      reader.push(recorded[0]!.bytes)
      t.throws(() => reader.next(), { code: 'LMQ_BAD_FRAME' }, `${what}: stays broken`)
    }
    const exact = new FrameReader(FRAME_BYTES_MAX)
    exact.push(Buffer.from('00fffffc', 'hex'))
    t.equal(exact.next(), null, 'exactly 16 MiB is waited for')
  }
)

t.test(
  'truncated and mutated frames are errors or frames, never a hang or another error',
  async t => {
    let seed = 20_261_121
    const random = (limit: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
      return Math.floor((seed / 2 ** 32) * limit)
    }
    let errors = 0
    const peek = new CommandPeek()
    for (const { bytes } of recorded) {
      for (let round = 0; round < 40; round++) {
        const broken = Buffer.from(
          bytes.subarray(0, round % 2 === 0 ? bytes.length : random(bytes.length))
        )
        for (let i = 0; i < 3 && broken.length > 0; i++)
          broken[random(Math.min(broken.length, 300))] = random(256)
        const reader = new FrameReader()
        reader.push(broken)
        try {
          for (let frame = reader.next(); frame !== null; frame = reader.next()) {
            const readable = peekCommand(frame, peek)
            const command = decodeCommand(frame)
            t.ok(readable)
            if (peek.code !== command.code || peek.opaque !== command.opaque)
              t.fail('peek and decode differ')
          }
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error
          errors++
        }
      }
    }
    t.ok(errors > 1000, `${errors} errors`)
  }
)

t.test('an empty header, or JSON that is no object, is a bad frame', async t => {
  for (const text of ['', '[]', '1', '{"code":', '{"code":"x"}', '{"extFields":[]}']) {
    const bytes = Buffer.alloc(8 + text.length)
    bytes.writeInt32BE(4 + text.length, 0)
    bytes.writeInt32BE(text.length, 4)
    bytes.write(text, 8)
    t.throws(() => decodeCommand(frameOf(bytes)), { code: 'LMQ_BAD_FRAME' }, text)
  }
})

t.test('a JSON header is read with the tolerance of the original', async t => {
  const text = `{ "version": 317, "language": 9, "extra":{"a":[1]}, "extFields":{"n":12,"b":true,"gone":null,"raw":"a\u0001b"},"opaque":-5,"code":10,"remark":null}`
  const bytes = Buffer.alloc(8 + Buffer.byteLength(text))
  bytes.writeInt32BE(bytes.length - 4, 0)
  bytes.writeInt32BE(bytes.length - 8, 4)
  bytes.write(text, 8)
  t.strictSame(fieldsOf(decodeCommand(frameOf(bytes))), {
    code: 10,
    language: LanguageCode.GO,
    version: 317,
    opaque: -5,
    flag: 0,
    remark: null,
    extFields: { n: '12', b: 'true', raw: 'a\u0001b' }
  })
})

t.test('peeking agrees with decoding on every recorded frame', async t => {
  const peek = new CommandPeek()
  for (const { file, bytes } of recorded) {
    const frame = frameOf(bytes)
    const { code, language, version, opaque, flag, serializeType } = decodeCommand(frame)
    t.ok(peekCommand(frame, peek), file)
    t.strictSame({ ...peek }, { code, language, version, opaque, flag, serializeType }, file)
    t.equal(peekCode(frame), code, file)
  }
})

t.test('a binary header cuts codes above 16 bits and keeps the last of equal keys', async t => {
  const pop = request(RequestCode.POP_MESSAGE, { a: '1', empty: '' })
  const [head] = encodeCommand({ ...pop, serializeType: SerializeType.ROCKETMQ })
  const command = decodeCommand(frameOf(head!))
  t.equal(command.code, 3442)
  t.strictSame(command.extFields, { a: '1' })
  const sample =
    '000000290100002500690001de0000000700000000000000000000001000016100000001780001610000000179'
  t.strictSame(decodeCommand(frameOf(Buffer.from(sample, 'hex'))).extFields, { a: 'y' })
})

t.test('versions and languages have the original’s numbers and names', async t => {
  const versions: [string, number][] = [
    ['V3_0_0_SNAPSHOT', 0],
    ['V3_0_7_SNAPSHOT', 28],
    ['V3_0_11', 37],
    ['V3_1_8_SNAPSHOT', 62],
    ['V3_4_9', 121],
    ['V4_1_0_SNAPSHOT', 232],
    ['V4_5_2', 317],
    ['V4_9_8', 409],
    ['V5_0_0', 413],
    ['V5_3_3', 479]
  ]
  for (const [name, ordinal] of versions) {
    t.equal(versionOrdinal(name), ordinal, name)
    t.equal(versionName(ordinal), name)
  }
  t.equal(versionName(9999), 'HIGHER_VERSION')
  t.equal(languageCode('NODE_JS'), 13)
  t.equal(languageCode('KLINGON'), LanguageCode.OTHER)
})
