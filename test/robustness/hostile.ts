import { deflateSync } from 'node:zlib'
import { encodeBatch, MessageProperty, propertiesText } from '../../src/protocol/index.ts'
import type { Dice } from './dice.ts'

/** Numbers at and beyond every edge, as text of a header field. */
export const HOSTILE_NUMBERS = [
  '-1',
  '0',
  '1',
  '65535',
  '65536',
  '2147483647',
  '2147483648',
  '-2147483648',
  '4294967296',
  '9007199254740991',
  '9007199254740993',
  '9223372036854775807',
  '-9223372036854775808',
  '99999999999999999999999999',
  '1.5',
  '1e9',
  '0x10',
  ' 7',
  'NaN',
  'Infinity',
  '-0',
  '+5',
  ''
]

const LONG = 'x'.repeat(40_000)

/** Names that no topic and no group may have, or that look like something else. */
export const HOSTILE_NAMES = [
  '',
  ' ',
  '.',
  '..',
  '../../etc/passwd',
  'a/b',
  'a\\b',
  'nul\u0000byte',
  'line\nbreak',
  '\u0001\u0002',
  'größe',
  '\ud83d\ude00',
  '\ud800',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '%RETRY%',
  '%RETRY%%RETRY%g',
  '%DLQ%',
  '%RETRY%../x',
  'SCHEDULE_TOPIC_XXXX',
  'RMQ_SYS_TRANS_HALF_TOPIC',
  'RMQ_SYS_TRANS_OP_HALF_TOPIC',
  'OFFSET_MOVED_EVENT',
  'SELF_TEST_TOPIC',
  'TBW102',
  'n'.repeat(127),
  'n'.repeat(128),
  'n'.repeat(255),
  'n'.repeat(256),
  LONG
]

/** Bodies that are no JSON, or JSON of another shape than anybody expects. */
const HOSTILE_BODIES: readonly ((dice: Dice) => Buffer)[] = [
  () => Buffer.alloc(0),
  dice => dice.bytes(1 + dice.below(400)),
  () => Buffer.from('{'),
  () => Buffer.from('null'),
  () => Buffer.from('[]'),
  () => Buffer.from('"text"'),
  () => Buffer.from('12345678901234567890'),
  () => Buffer.from(`{"a":${'['.repeat(100_000)}`),
  () => Buffer.from('['.repeat(200_000) + ']'.repeat(200_000)),
  () => Buffer.from(`${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`),
  () => Buffer.from(`{${'{"a":1}:'.repeat(3_000)}`),
  () => Buffer.from('{"a":{"$ref":"$"},"b":{"$ref":"$.a"},"c":{"$ref":"$.b.c"}}'),
  () => Buffer.from('{"clientID":"\xc3\x28\xff\xfe"}', 'latin1'),
  () => Buffer.from('{"a":1,"a":2,"a":{"a":3}}'),
  () => Buffer.from('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}'),
  () => deflateSync(Buffer.alloc(1_000_000)),
  dice => Buffer.concat([Buffer.from([0x78, 0x9c]), dice.bytes(200)]),
  dice => lyingBatch(dice)
]

export function hostileBody(dice: Dice): Buffer {
  return dice.pick(HOSTILE_BODIES)(dice)
}

/** A batch one of whose length words is wrong. */
export function lyingBatch(dice: Dice): Buffer {
  const batch = encodeBatch(
    Array.from({ length: 1 + dice.below(5) }, (_, n) => ({
      flag: 0,
      body: Buffer.alloc(dice.below(50), 'b'),
      properties: Buffer.from(propertiesText([['KEYS', String(n)]]))
    }))
  )
  const bytes = Buffer.from(batch)
  const at = dice.below(Math.max(1, bytes.length - 4))
  bytes.writeInt32BE(dice.pick([-1, 0, 1, 0x7fff_ffff, -0x8000_0000, 1_000_000]), at)
  return bytes
}

const PROPERTY_TEXTS = [
  '',
  '\u0001',
  '\u0002',
  '\u0001\u0002'.repeat(1_000),
  'no separator at all',
  'KEYS\u0001',
  '\u0001value\u0002',
  'p'.repeat(32_767),
  'p'.repeat(32_768),
  'p'.repeat(70_000),
  `KEYS\u0001${'k '.repeat(10_000)}`,
  `${MessageProperty.DELAY}\u00019999999999\u0002`,
  `${MessageProperty.DELAY}\u0001-1\u0002`,
  `${MessageProperty.DELAY}\u00013\u0002`,
  `${MessageProperty.TIMER_DELAY_SEC}\u00015\u0002`,
  `${MessageProperty.TRAN_MSG}\u0001true\u0002`,
  `${MessageProperty.REAL_TOPIC}\u0001../..\u0002${MessageProperty.REAL_QID}\u0001-5\u0002`,
  'TAGS\u0001\ud83d\ude00\u0002KEYS\u0001\u0000\u0002',
  'WAIT\u0001false\u0002WAIT\u0001true'
]

/** A value for a header field: mostly one that its name makes dangerous. */
export function hostileField(dice: Dice, name: string): string {
  if (name === 'properties' || name === 'i') return dice.pick(PROPERTY_TEXTS)
  if (dice.chance(1, 3)) return dice.pick(HOSTILE_NAMES)
  return dice.pick(HOSTILE_NUMBERS)
}

/** Puts something unexpected into one place of a JSON value; the value itself is changed. */
export function twistJson(dice: Dice, value: unknown): unknown {
  if (Array.isArray(value) && value.length > 0 && dice.chance(4, 5)) {
    const at = dice.below(value.length)
    if (dice.chance(1, 6)) for (let n = 0; n < 300; n++) value.push(value[at])
    else value[at] = twistJson(dice, value[at])
    return value
  }
  if (typeof value === 'object' && value !== null && dice.chance(4, 5)) {
    const fields = value as Record<string, unknown>
    const keys = Object.keys(fields)
    if (keys.length === 0) return wrongValue(dice)
    const key = dice.pick(keys)
    if (dice.chance(1, 5)) delete fields[key]
    else fields[key] = twistJson(dice, fields[key])
    return fields
  }
  return wrongValue(dice)
}

function wrongValue(dice: Dice): unknown {
  return dice.pick<unknown>([
    null,
    true,
    -1,
    1e308,
    2 ** 53,
    1.5,
    '',
    'text',
    dice.pick(HOSTILE_NAMES),
    [],
    [null],
    [[[[]]]],
    {},
    { $ref: '$' },
    { $ref: '..' },
    { a: { b: { c: 1 } } }
  ])
}
