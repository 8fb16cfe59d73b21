import { readFileSync } from 'node:fs'
import t from 'tap'
import {
  compileEqual,
  compileOrder,
  generalEqual,
  generalOrder
} from '../../src/broker/filter/comparisons.ts'
import { compileCondition, compiling } from '../../src/broker/filter/compile.ts'
import { FilterCache, FilterSyntaxError, SqlFilter } from '../../src/broker/filter/index.ts'
import {
  depthMax,
  expressionCharactersMax,
  parseExpression,
  termsMax
} from '../../src/broker/filter/parser.ts'
import { PropertyScan } from '../../src/broker/filter/propertyScan.ts'
import { Searcher } from '../../src/broker/filter/searcher.ts'
import type { Node, OrderOperator } from '../../src/broker/filter/syntax.ts'
import { parseDouble, parseInteger, parseLong } from '../../src/broker/filter/values.ts'
import { encodeProperties } from '../../src/protocol/index.ts'
import { RecordingLogger } from '../helpers/recordingLogger.ts'
import { Dice } from '../robustness/dice.ts'

type Properties = Record<string, string>

function matches(expression: string, properties: Properties = {}): boolean {
  const bytes = encodeProperties(Object.entries(properties))
  return new SqlFilter(expression).matchesProperties(bytes, 0, bytes.length)
}

const outcomeNames = ['false', 'true', 'null', 'failed'] as const

function outcomeOf(expression: string, properties: Properties): string {
  const scan = new PropertyScan()
  const test = compileCondition(parseExpression(expression), scan)
  const bytes = encodeProperties(Object.entries(properties))
  scan.read(bytes, 0, bytes.length)
  return outcomeNames[test(scan)]
}

function refusal(expression: string): string {
  try {
    new SqlFilter(expression)
  } catch (error) {
    if (error instanceof FilterSyntaxError) return error.message
    throw error
  }
  return 'compiles'
}

/** Expression, properties, whether it matches; what the original does (broker.md 4.4, and its code where that is silent). */
type Row = readonly [expression: string, properties: Properties, matches: boolean]

function table(name: string, rows: readonly Row[]): void {
  t.test(name, async t => {
    for (const [expression, properties, wanted] of rows)
      t.equal(
        matches(expression, properties),
        wanted,
        `${expression} with ${JSON.stringify(properties)}`
      )
  })
}

table('a property is converted to the type of what it is compared with', [
  ['a = 5', { a: '5' }, true],
  ['a = 5', { a: '+5' }, true],
  ['a = 5', { a: '05' }, true],
  ['a = 5', { a: '5.0' }, false],
  ['a = 5', { a: ' 5' }, false],
  ['a <> 5', { a: '5.0' }, false],
  ['a = 5.0', { a: '5' }, true],
  ['a = 5.0', { a: ' 5e0 ' }, true],
  ['a = 5.5', { a: '5.5f' }, true],
  ['a = 5.0', { a: '0x1.4p2' }, true],
  ['a > 5', { a: '99999999999' }, false],
  ['a > 5L', { a: '99999999999' }, false],
  ['a > 5000000000', { a: '99999999999' }, true],
  ['a >= 9223372036854775807', { a: '9223372036854775807' }, true],
  ['a >= 9223372036854775807', { a: '9223372036854775806' }, false],
  ['a < 9007199254740993', { a: '9007199254740992' }, true],
  ['a > 5000000000', { a: '9223372036854775808' }, false],
  ['a > -5', { a: '-4' }, true],
  ['a = -5', { a: '-5' }, true],
  ['a = - -5', { a: '5' }, true],
  ['a = +5', { a: '5' }, true],
  ['a < 1.5', { a: '-Infinity' }, true],
  ['a > 1.5', { a: 'NaN' }, true],
  ['a = TRUE', { a: 'TrUe' }, true],
  ['a = TRUE', { a: 'yes' }, false],
  ['a = FALSE', { a: 'yes' }, true],
  ['TRUE = a', { a: 'true' }, false],
  ['NOT (TRUE = a)', { a: 'x' }, false],
  ['5 = a', { a: '5' }, true],
  ['5 > a', { a: '4' }, true],
  ['a = (b > 5)', { a: 'true', b: '6' }, true],
  ['(b > 5) = a', { a: 'true', b: '6' }, false],
  ['(a > 5) = (b > 5)', { a: '1', b: '2' }, true],
  ['a = -b', { b: '5' }, true],
  ['a = -b', { a: '-5', b: '5' }, false]
])

table('texts are equal or not, and ordered only as numbers', [
  ["a = 'x'", { a: 'x' }, true],
  ["a = 'X'", { a: 'x' }, false],
  ["a = 'it''s'", { a: "it's" }, true],
  ["a = 'größer 😀'", { a: 'größer 😀' }, true],
  ["A = 'x'", { a: 'x' }, false],
  ['a = b', { a: 'x', b: 'x' }, true],
  ['a = b', { a: '5', b: '5.0' }, false],
  ['a > b', { a: '10', b: '9' }, true],
  ['a >= b', { a: '1e1', b: '10' }, true],
  ['a > b', { a: 'y', b: 'x' }, false],
  ['NOT (a > b)', { a: 'x', b: 'y' }, false],
  ["'x' = a", { a: 'x' }, true],
  ["a IN ('x', 'y')", { a: 'y' }, true],
  ["a IN ('x', 'y')", { a: 'z' }, false],
  ["a NOT IN ('x', 'y')", { a: 'z' }, true],
  ["a in ('5')", { a: '5.0' }, false],
  ["a IN ('1','2','3','4','5','6','7','8','9')", { a: '9' }, true],
  ["a NOT IN ('1','2','3','4','5','6','7','8','9')", { a: '9' }, false],
  ['_a$1 = 2', { _a$1: '2' }, true],
  ["TAGS = 't1' AND KEYS IN ('k4', 'k7')", { TAGS: 't1', KEYS: 'k7' }, true],
  ["a = ''", { b: 'x' }, false]
])

table('BETWEEN holds at both ends', [
  ['a BETWEEN 2 AND 4', { a: '2' }, true],
  ['a between 2 and 4', { a: '4' }, true],
  ['a BETWEEN 2 AND 4', { a: '5' }, false],
  ['a NOT BETWEEN 2 AND 4', { a: '5' }, true],
  ['a NOT BETWEEN 2 AND 4', { a: '3' }, false],
  ['a NOT BETWEEN 4 AND 2', { a: '3' }, true],
  ['a BETWEEN -4 AND -2', { a: '-3' }, true],
  ['a BETWEEN b AND c', { a: '2', b: '1', c: '3' }, true],
  ['a BETWEEN 2 AND 2', { a: '2' }, true],
  ['a BETWEEN 0 AND 100', { a: 'abc' }, false],
  ['a BETWEEN 2 AND 4', {}, false]
])

table('null is neither true nor false, but equal to null', [
  ['a IS NULL', {}, true],
  ['a IS NULL', { a: 'x' }, false],
  ['a IS NOT NULL', { a: 'x' }, true],
  ['a IS NOT NULL', {}, false],
  ['a = b', {}, true],
  ['a <> b', {}, false],
  ['a = 5', {}, false],
  ['NOT (a = 5)', {}, false],
  ['5 = a', {}, false],
  ['NOT (5 = a)', {}, true],
  ["a <> 'x'", {}, false],
  ["'x' <> a", {}, true],
  ['a > 5 OR TRUE', {}, true],
  ['a > 5 OR b = 1', { b: '1' }, true],
  ['NOT (a > 5 AND FALSE)', {}, true],
  ['NOT (a > 5 AND TRUE)', {}, false],
  ['(a > 5) IS NULL', {}, true],
  ['(a > 5) IS NULL', { a: '6' }, false],
  ['NULL IS NULL', {}, true],
  ['5 IS NULL', {}, false],
  ['-a IS NULL', { a: '5' }, true],
  ['NULL', {}, false],
  ["a IN ('x')", {}, false],
  ["NOT (a IN ('x'))", {}, false],
  ["a NOT IN ('x')", {}, false]
])

table('a property alone is a condition that never holds', [
  ['a', { a: 'true' }, false],
  ['(a)', { a: 'true' }, false],
  ['NOT a', { a: 'true' }, true],
  ['NOT a', {}, false],
  ['NOT a = 5', { a: '6' }, false],
  ['NOT (a = 5)', { a: '6' }, true],
  ['a OR b = 1', { a: 'x', b: '1' }, true]
])

table('what cannot be converted ends the whole expression, unless it is not reached', [
  ["a = 5 OR b = 'x'", { a: 'q', b: 'x' }, false],
  ["b = 'x' OR a = 5", { a: 'q', b: 'x' }, true],
  ["NOT (b = 'x' AND a = 5)", { a: 'q', b: 'y' }, true],
  ["NOT (a = 5 AND b = 'x')", { a: 'q', b: 'y' }, false],
  ['(a = 5) IS NULL', { a: 'q' }, false],
  ['a > 5 AND b > 5 OR TRUE', { a: '6', b: 'q' }, false]
])

table('constants are compared by their own types', [
  ['5 = 5.0', {}, true],
  ['5 = 5L', {}, true],
  ['5 < 6.5', {}, true],
  ['5 = TRUE', {}, false],
  ['5 <> TRUE', {}, true],
  ["'true' = TRUE", {}, true],
  ["'x' = TRUE", {}, false],
  ["'5' = 5", {}, true],
  ["'x' = 5", {}, false],
  ["'x' = 'x'", {}, true],
  ['TRUE = TRUE', {}, true],
  ['TRUE AND NOT FALSE', {}, true],
  ['(TRUE = FALSE) = FALSE', {}, true],
  ['(1 = 1) = 5', {}, false]
])

table('CONTAINS, STARTSWITH, ENDSWITH (5.x)', [
  ["a CONTAINS 'ell'", { a: 'hello' }, true],
  ["a contains 'elo'", { a: 'hello' }, false],
  ["a NOT CONTAINS 'elo'", { a: 'hello' }, true],
  ["a NOT CONTAINS 'ell'", { a: 'hello' }, false],
  ["a STARTSWITH 'he'", { a: 'hello' }, true],
  ["a STARTSWITH 'hello!'", { a: 'hello' }, false],
  ["a NOT STARTSWITH 'x'", { a: 'hello' }, true],
  ["a ENDSWITH 'llo'", { a: 'hello' }, true],
  ["a ENDSWITH 'ell'", { a: 'hello' }, false],
  ["a NOT ENDSWITH 'llo'", { a: 'hello' }, false],
  ["a CONTAINS ''", { a: 'hello' }, false],
  ["a NOT CONTAINS ''", { a: 'hello' }, false],
  ["a NOT CONTAINS 'x'", {}, false],
  ["a NOT STARTSWITH 'x'", {}, false],
  ["'axb' CONTAINS 'x'", {}, true],
  ["5 CONTAINS '5'", {}, false],
  ["(a = 1) NOT CONTAINS 'x'", { a: '1' }, false],
  ["NOT ((a = 1) CONTAINS 'x')", { a: 'q' }, false]
])

table('what follows a complete expression is ignored from its first token on', [
  ['a = 5 foo', { a: '5' }, true],
  ["a = 5 'x' !!", { a: '5' }, true],
  ['a = 5 )', { a: '5' }, true],
  ["a LIKE 'x'", { a: 'x' }, false],
  ['a = 007', { a: '0' }, true],
  ['a = 5abc', { a: '5' }, true],
  ['a = 5 -- a comment', { a: '5' }, true],
  ['a = -- a comment\n 5', { a: '5' }, true],
  ['/* one **/ a /* two */ = 5', { a: '5' }, true],
  ['a\t=\r\n5', { a: '5' }, true],
  ['a = 1.', { a: '1' }, true],
  ['a = .5e1', { a: '5' }, true],
  ['a = 1E3', { a: '1000' }, true]
])

table('chains are taken from the left', [
  ['a = b = TRUE', { a: 'x', b: 'x' }, true],
  ['a = 1 OR b = 2 AND c = 3', { a: '1' }, true],
  ['(a = 1 OR b = 2) AND c = 3', { a: '1' }, false],
  ['a = 3 and b<>4 And c>5 AND d<=4', { a: '3', b: '5', c: '6', d: '1' }, true],
  ['a IS NULL IS NOT NULL', {}, true]
])

t.test('expressions that do not compile are refused with the words of the original', async t => {
  const parse = 'org.apache.rocketmq.filter.parser.ParseException: '
  const runtime = 'java.lang.RuntimeException: '
  const token = 'org.apache.rocketmq.filter.parser.TokenMgrError: '
  const rows: readonly (readonly [string, string])[] = [
    ['', `${parse}Encountered "<EOF>" at line 0, column 0.\nWas expecting one of:`],
    [
      'n >',
      `${parse}Encountered "<EOF>" at line 1, column 3.\nWas expecting one of:\n    "NOT" ...`
    ],
    ['n = = 3', `${parse}Encountered " "=" "= "" at line 1, column 5.`],
    ['n =\n  = 3', `${parse}Encountered " "=" "= "" at line 2, column 3.`],
    ['n =\t)', `${parse}Encountered " ")" ") "" at line 1, column 9.`],
    ["colour = red'", `${token}Lexical error at line 1, column 14.  Encountered: <EOF> after : ""`],
    ['1 + 1', `${parse}Expression will not result in a boolean value: 1`],
    ["'x'", `${parse}Expression will not result in a boolean value: 'x'`],
    ['-a', `${parse}Expression will not result in a boolean value: (- a)`],
    ["a = 1 AND 'it''s'", `${parse}Expression will not result in a boolean value: 'it''s'`],
    ['NOT 5', `${parse}Expression will not result in a boolean value: 5`],
    ['a * 2', `${token}Lexical error at line 1, column 3.  Encountered: "*" (42), after : ""`],
    ['a != 5', `${token}Lexical error at line 1, column 3.  Encountered: "!" (33), after : ""`],
    [
      'a = 5 /* open',
      `${token}Lexical error at line 1, column 14.  Encountered: <EOF> after : "/* open"`
    ],
    [
      'n BETWEEN 8 AND 5',
      `${runtime}Illegal values of between, left value(8) must less than or equal to right value(5)`
    ],
    [
      'n BETWEEN 8.5 AND 5',
      `${runtime}Illegal values of between, left value(8.5) must less than or equal to right value(5)`
    ],
    ['n BETWEEN NULL AND 5', `${runtime}Illegal values of between, values can not be null!`],
    ["a > 'x'", `${runtime}Value ''x'' cannot be compared.`],
    ['a > TRUE', `${runtime}Value 'TRUE' cannot be compared.`],
    ['a > NULL', `${runtime}Value 'NULL' cannot be compared.`],
    ['(a = 1) > 5', `${runtime}Value '(a == 1)' cannot be compared.`],
    ['a > 5 > 3', `${runtime}Value '(a > 5)' cannot be compared.`],
    ['a = NULL', `${runtime}'NULL' cannot be compared.`],
    ['NULL <> a', `${runtime}'NULL' cannot be compared.`],
    ["TRUE = 'x'", `${runtime}'TRUE' cannot be compared with ''x''`],
    ["5 IN ('5')", `${runtime}Expected a property for In expression, got: 5`],
    [
      'a IN (5)',
      `${parse}Encountered " <DECIMAL_LITERAL> "5 "" at line 1, column 7.\nWas expecting:\n    <STRING_LITERAL> ...\n    `
    ],
    ["a IN ('x'", `${parse}Encountered "<EOF>" at line 1, column 9.`],
    [
      'a CONTAINS b',
      `${parse}Encountered " <ID> "b "" at line 1, column 12.\nWas expecting:\n    <STRING_LITERAL> ...\n    `
    ],
    ['a NOT 5', `${parse}Encountered " "NOT" "NOT "" at line 1, column 3.`],
    ['a IS 5', `${parse}Encountered " <DECIMAL_LITERAL> "5 "" at line 1, column 6.`],
    ['(a = 1', `${parse}Encountered "<EOF>" at line 1, column 6.`],
    ['a = 0.0', `${runtime}0.0 is less than 4.9E-324`],
    ['a = 1e999', `${runtime}1e999 is greater than 1.7976931348623157E308`],
    [
      'a = 9223372036854775808',
      'java.lang.NumberFormatException: For input string: "9223372036854775808"'
    ]
  ]
  for (const [expression, wanted] of rows) {
    const text = refusal(expression)
    t.equal(text.slice(0, wanted.length), wanted, expression)
  }
})

t.test('the recorded refusal comes out byte for byte', async t => {
  const recorded = JSON.parse(
    readFileSync('test/vectors/remoting/0046-CHECK_CLIENT_CONFIG.json', 'utf8')
  ) as { request: { bodyText: string }; response: { header: { code: number; remark?: string } } }[]
  let refused = 0
  for (const { request, response } of recorded) {
    const { subscriptionData } = JSON.parse(request.bodyText)
    t.equal(refusal(subscriptionData.subString), response.header.remark ?? 'compiles')
    if (response.header.code === 23) refused += 1
  }
  t.equal(refused, 2)
})

t.test('2000 random expressions give what rocketmq-filter 5.3.3 gave', async t => {
  type Recorded = [string, Properties, 'true' | 'false' | 'null' | 'failed' | { error: string }]
  const rows = JSON.parse(
    readFileSync('test/vectors/filter/evaluations.json', 'utf8')
  ) as Recorded[]
  let matched = 0
  let refused = 0
  for (const [expression, properties, wanted] of rows) {
    if (typeof wanted === 'object') {
      refused += 1
      if (refusal(expression) !== wanted.error)
        t.equal(refusal(expression), wanted.error, expression)
      continue
    }
    if (wanted === 'true') matched += 1
    const got = outcomeOf(expression, properties)
    if (got !== wanted) t.equal(got, wanted, `${expression} with ${JSON.stringify(properties)}`)
  }
  t.strictSame([rows.length, matched, refused], [2_000, 600, 300])
})

t.test('limits of one expression', async t => {
  const terms = (count: number) => Array.from({ length: count }, (_, i) => `a=${i}`).join(' OR ')
  t.equal(refusal(terms(termsMax)), 'compiles')
  t.match(refusal(terms(termsMax + 1)), /more than 2048 comparisons/)
  t.equal(matches(terms(termsMax), { a: String(termsMax - 1) }), true)
  const nested = (count: number) => `${'('.repeat(count)}a = 1${')'.repeat(count)}`
  t.equal(refusal(nested(depthMax - 1)), 'compiles')
  t.match(refusal(nested(depthMax)), /^java.lang.StackOverflowError/)
  t.match(refusal('('.repeat(60_000)), /^java.lang.StackOverflowError/)
  t.match(refusal(`a${' IS NULL'.repeat(depthMax)}`), /^java.lang.StackOverflowError/)
  t.match(refusal(`a = ${'-+'.repeat(20_000)}1`), /^java.lang.StackOverflowError/)
  t.match(refusal(`${'NOT '.repeat(5_000)}a`), /^java.lang.StackOverflowError/)
  t.match(refusal(`a = '${'x'.repeat(expressionCharactersMax)}'`), /the limit is 65535/)
  const list = Array.from({ length: 8_000 }, (_, i) => `'${i}'`).join(',')
  t.equal(matches(`a IN (${list})`, { a: '7999' }), true)
  t.ok(refusal(`${'x'.repeat(60_000)} (`.repeat(1)).length <= 1_000)
  t.ok(refusal(`a > '${'y'.repeat(60_000)}'`).length <= 1_000, 'a refusal is short')
})

t.test('properties are found as they lie in the store', async t => {
  const read = (bytes: Buffer, name: string): string | null => {
    const scan = new PropertyScan()
    const slot = scan.slotOf(name)
    scan.read(bytes, 0, bytes.length)
    return scan.text(slot)
  }
  const pairs = (text: string) => Buffer.from(text.replaceAll('=', '\x01').replaceAll(';', '\x02'))
  t.equal(read(pairs('ab=1;a=2;'), 'a'), '2')
  t.equal(read(pairs('a=1;a=2'), 'a'), '2', 'the last one, even without an end')
  t.equal(read(pairs('a=;b=1;'), 'a'), null, 'an empty value is none')
  t.equal(read(pairs('a;b=1;'), 'a'), null)
  t.equal(read(pairs('a=1=2;'), 'a'), '1\x012')
  t.equal(read(pairs('=x;;;ä=ö;'), 'ä'), 'ö')
  const surrounded = Buffer.concat([pairs('a=9;'), pairs('a=1'), pairs(';b=2')])
  const scan = new PropertyScan()
  const slot = scan.slotOf('a')
  scan.read(surrounded, 4, 7)
  t.equal(scan.text(slot), '1', 'nothing behind the end is looked at')
})

t.test('numbers are read as Java reads them', async t => {
  const integer = (text: string) => parseInteger(Buffer.from(text), 0, text.length)
  const long = (text: string) => parseLong(Buffer.from(text), 0, text.length)
  const double = (text: string) => parseDouble(Buffer.from(text), 0, text.length)
  t.equal(integer('-2147483648'), -2_147_483_648)
  for (const text of ['2147483648', '-2147483649', '', '+', '-', '+-1', '1 ', '1.0', '0x1', '1e1'])
    t.ok(Number.isNaN(integer(text)), text)
  t.equal(integer(`${'0'.repeat(50)}7`), 7)
  t.equal(long('9007199254740993'), 9_007_199_254_740_993n)
  t.equal(long('-9223372036854775808'), -9_223_372_036_854_775_808n)
  t.equal(long('0009007199254740991'), 9_007_199_254_740_991)
  t.ok(Number.isNaN(long('9223372036854775808')))
  t.ok(Number.isNaN(long('-9223372036854775809')))
  t.ok(Number.isNaN(long('10000000000000000000000')))
  const doubles: [string, number][] = [
    ['1.5', 1.5],
    [' .5d ', 0.5],
    ['5.', 5],
    ['-1E-3F', -0.001],
    ['Infinity', Number.POSITIVE_INFINITY],
    ['-Infinity', Number.NEGATIVE_INFINITY],
    ['+NaN', Number.NaN],
    ['-0', -0],
    ['0x1.8p1', 3],
    ['-0x.8P0', -0.5],
    ['0x0p5', 0],
    ['0x1p-1074', 5e-324],
    ['0x1p2000', Number.POSITIVE_INFINITY],
    ['1e400', Number.POSITIVE_INFINITY]
  ]
  for (const [text, value] of doubles) t.ok(Object.is(double(text), value), text)
  for (const text of [
    '',
    ' ',
    '.',
    'e5',
    '1e',
    '1_0',
    'nan',
    'infinity',
    '0x1',
    '0xp1',
    '1ff',
    'NaNd',
    '１'
  ])
    t.equal(parseDouble(Buffer.from(text), 0, Buffer.byteLength(text)), null, `"${text}"`)
})

t.test('the search finds what Java finds, and takes linear time', async t => {
  const dice = new Dice(7)
  const word = (length: number) => Array.from({ length }, () => dice.pick(['a', 'b'])).join('')
  for (let i = 0; i < 2_000; i++) {
    const wanted = word(1 + dice.below(5))
    const text = word(dice.below(20))
    const found = new Searcher(Buffer.from(wanted)).isIn(Buffer.from(text), 0, text.length)
    if (found !== text.includes(wanted)) t.fail(`${wanted} in ${text}`)
  }
  const text = Buffer.from('a'.repeat(32_000))
  const hard = new Searcher(Buffer.from(`${'a'.repeat(16_000)}b`))
  const started = performance.now()
  t.equal(hard.isIn(text, 0, text.length), false)
  t.ok(performance.now() - started < 100)
})

const operators: readonly OrderOperator[] = ['<', '<=', '>', '>=']

t.test('the short ways give what the general way gives', async t => {
  const dice = new Dice(92)
  const texts = [
    '5',
    '5.0',
    '+5',
    '-3',
    'x',
    'true',
    'FALSE',
    '99999999999',
    '1e3',
    ' 7 ',
    'NaN',
    '-0'
  ]
  const number = (): Node =>
    dice.pick<Node>([
      { kind: 'int', value: dice.pick([5, -3, 0, 7]), minuses: 0, depth: 1 },
      {
        kind: 'long',
        value: dice.pick([99_999_999_999, 9_223_372_036_854_775_807n]),
        minuses: 0,
        depth: 1
      },
      { kind: 'double', value: dice.pick([5, 1000, -3.5]), minuses: 0, depth: 1 }
    ])
  const property = (): Node => ({ kind: 'property', name: dice.pick(['a', 'b', 'none']), depth: 1 })
  const anything = (): Node =>
    dice.pick<() => Node>([
      number,
      property,
      property,
      () => ({ kind: 'string', value: dice.pick(texts), depth: 1 }),
      () => ({ kind: 'boolean', value: dice.chance(1, 2), depth: 1 }),
      () => ({ kind: 'nothing', operand: property(), depth: 2 })
    ])()
  const seen = new Set<number>()
  for (let i = 0; i < 20_000; i++) {
    const scan = new PropertyScan()
    const within = compiling(scan)
    const equalNodes = [anything(), anything()] as const
    const orderNodes = [dice.pick([number, property])(), dice.pick([number, property])()] as const
    const operator = dice.pick(operators)
    const pairs: [string, string][] = [
      ['a', dice.pick(texts)],
      ['b', dice.pick(texts)]
    ]
    const bytes = encodeProperties(pairs)
    const tests = [
      [compileEqual(...equalNodes, within), generalEqual(...equalNodes, within), equalNodes],
      [
        compileOrder(operator, ...orderNodes, within),
        generalOrder(operator, ...orderNodes, within),
        orderNodes
      ]
    ] as const
    scan.read(bytes, 0, bytes.length)
    for (const [short, general, nodes] of tests) {
      const outcome = general(scan)
      seen.add(outcome)
      const got = short(scan)
      if (got !== outcome)
        t.fail(`${got} is not ${outcome}`, {
          nodes: nodes.map(
            node => `${node.kind} ${'value' in node ? node.value : 'name' in node ? node.name : ''}`
          ),
          pairs
        })
    }
  }
  t.equal(seen.size, 4, 'true, false, null and failed all came up')
})

/** Random text of the grammar, and beside it. */
function randomExpression(dice: Dice, depth: number): string {
  const leaf = () =>
    dice.pick([
      'a',
      'b',
      'c',
      '5',
      '-3',
      '1.5',
      "'x'",
      "'5'",
      'TRUE',
      'NULL',
      '9223372036854775807',
      '+a'
    ])
  if (depth <= 0) return leaf()
  const part = () => randomExpression(dice, depth - 1 - dice.below(2))
  return dice.pick([
    () => `${part()} ${dice.pick(['=', '<>', '<', '<=', '>', '>='])} ${part()}`,
    () => `${part()} ${dice.pick(['AND', 'OR', 'and', 'oR'])} ${part()}`,
    () => `(${part()})`,
    () => `NOT ${part()}`,
    () => `${leaf()} ${dice.pick(['', 'NOT '])}BETWEEN ${leaf()} AND ${leaf()}`,
    () => `${leaf()} ${dice.pick(['', 'NOT '])}IN ('x', '5')`,
    () =>
      `${leaf()} ${dice.pick(['', 'NOT '])}${dice.pick(['CONTAINS', 'STARTSWITH', 'ENDSWITH'])} 'x'`,
    () => `${part()} IS ${dice.pick(['', 'NOT '])}NULL`,
    () => `${leaf()} ${part()}`,
    leaf
  ])()
}

t.test(
  'random expressions compile or are refused, and never throw or hang when evaluated',
  async t => {
    const dice = new Dice(1_992)
    const soup = [
      '(',
      ')',
      "'",
      'a',
      ' ',
      'AND',
      '=',
      '<',
      '>',
      '--',
      '/*',
      '*/',
      '\n',
      '9',
      '.',
      'e',
      'é',
      '\0',
      'IN',
      ',',
      'IS',
      'NULL',
      '-',
      '+',
      'NOT'
    ]
    const started = performance.now()
    let compiled = 0
    let matched = 0
    for (let i = 0; i < 20_000; i++) {
      const expression = dice.chance(1, 4)
        ? Array.from({ length: dice.below(40) }, () => dice.pick(soup)).join('')
        : randomExpression(dice, dice.below(6))
      let filter: SqlFilter
      try {
        filter = new SqlFilter(expression)
      } catch (error) {
        if (!(error instanceof FilterSyntaxError)) t.fail(`${expression}: ${error}`)
        continue
      }
      compiled += 1
      for (let round = 0; round < 3; round++) {
        const bytes = dice.chance(1, 3)
          ? dice.bytes(dice.below(60))
          : encodeProperties(
              ['a', 'b', 'c']
                .filter(() => dice.chance(3, 4))
                .map((name): [string, string] => [
                  name,
                  dice.pick(['5', '-3', 'x', 'xyx', '1.5', 'true'])
                ])
            )
        if (filter.matchesProperties(bytes, 0, bytes.length)) matched += 1
      }
    }
    t.ok(compiled > 2_000, `${compiled} compiled`)
    t.ok(matched > 500, `${matched} matched`)
    t.ok(performance.now() - started < 20_000)
  }
)

t.test('NOT of a condition never matches together with it', async t => {
  const dice = new Dice(3)
  let compared = 0
  for (let i = 0; i < 5_000; i++) {
    const expression = randomExpression(dice, 3)
    // Text behind a complete expression is ignored, and would not stand within parentheses.
    if (refusal(`(${expression})`) !== 'compiles') continue
    compared += 1
    const properties = { a: dice.pick(['5', 'x', '1.5']), b: dice.pick(['5', '-3', 'true']) }
    if (matches(`(${expression})`, properties) && matches(`NOT (${expression})`, properties))
      t.fail(expression)
  }
  t.ok(compared > 500, `${compared} compared`)
})

t.test('compiled expressions are kept within limits, refusals are logged once', async t => {
  const logger = new RecordingLogger()
  const cache = new FilterCache(logger)
  const first = cache.compile('a = 1')
  t.ok(first instanceof SqlFilter)
  t.equal(cache.compile('a = 1'), first, 'the same filter for the same text')
  const bad = cache.compile('a >')
  t.ok(bad instanceof FilterSyntaxError)
  t.equal(cache.compile('a >'), bad)
  t.equal(logger.messages('warn').length, 1)
  for (let i = 0; i < 999; i++) cache.compile(`b = ${i}`)
  t.not(cache.compile('a = 1'), first, 'the one unused longest made room')
  const long = cache.compile(`a = '${'x'.repeat(60_000)}'`)
  for (let i = 0; i < 4; i++) cache.compile(`a = '${String(i).repeat(60_000)}'`)
  t.not(cache.compile(`a = '${'x'.repeat(60_000)}'`), long, 'the sum of the texts is limited')
})

t.test('work grows with what an evaluation looks at', async t => {
  const work = (expression: string, properties: Properties): number => {
    const filter = new SqlFilter(expression)
    const bytes = encodeProperties(Object.entries(properties))
    filter.matchesProperties(bytes, 0, bytes.length)
    return filter.work
  }
  const small = work('a = 1', { a: '1' })
  t.ok(work('a = 1', { a: '1', b: 'x'.repeat(3_200) }) >= small + 100)
  t.ok(work("a = 1 OR b CONTAINS 'y'", { a: '2', b: 'x'.repeat(3_200) }) >= small + 200)
})
