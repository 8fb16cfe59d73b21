/**
 * What SQL92 filters cost: microseconds to compile an expression, and to evaluate it on the properties of one message.
 * `node build/bench/sqlFilter.js [milliseconds for each row]`; one thread.
 */

import { performance } from 'node:perf_hooks'
import process from 'node:process'
import { SqlFilter } from '../src/broker/filter/index.ts'
import { encodeProperties } from '../src/protocol/index.ts'

const rowMs = Number(process.argv[2] ?? 300)

const user: [string, string][] = [
  ['n', '17'],
  ['price', '19.95'],
  ['colour', 'green'],
  ['flag', 'TRUE'],
  ['region', 'eu-central']
]
const system: [string, string][] = [
  ['KEYS', 'order-4711'],
  ['UNIQ_KEY', '7F0000010B5A18B4AAC2123456780000'],
  ['TAGS', 'created'],
  ['WAIT', 'true'],
  ['CLUSTER', 'DefaultCluster']
]
const many = Array.from({ length: 60 }, (_, i): [string, string] => [`name${i}`, `value ${i}`])

const expressions = [
  'n = 17',
  'n BETWEEN 5 AND 20',
  'price < 20.5',
  "colour = 'green'",
  'flag = TRUE',
  'missing IS NULL',
  "colour IN ('red', 'blue', 'green')",
  "colour IN ('1', '2', '3', '4', '5', '6', '7', '8', '9', 'green')",
  "region CONTAINS 'central'",
  "colour = 'green' AND n > 5 AND n < 100 AND NOT (region STARTSWITH 'us')",
  Array.from({ length: 100 }, (_, i) => `n = ${i + 1_000}`).join(' OR ')
]

/** Microseconds of one call, over about `rowMs`. */
function microseconds(call: () => unknown): number {
  for (let i = 0; i < 1_000; i++) call()
  let calls = 0
  const started = performance.now()
  let elapsedMs = 0
  while (elapsedMs < rowMs) {
    for (let i = 0; i < 500; i++) call()
    calls += 500
    elapsedMs = performance.now() - started
  }
  return (elapsedMs * 1_000) / calls
}

const few = encodeProperties([...user, ...system])
const crowd = encodeProperties([...many, ...user, ...system])
console.log(
  `compile µs | ${few.length} B, 10 properties µs | ${crowd.length} B, 70 properties µs | expression`
)
for (const expression of expressions) {
  const filter = new SqlFilter(expression)
  const figures = [
    microseconds(() => new SqlFilter(expression)),
    microseconds(() => filter.matchesProperties(few, 0, few.length)),
    microseconds(() => filter.matchesProperties(crowd, 0, crowd.length))
  ]
  const shown = expression.length > 72 ? `${expression.slice(0, 60)} … (100 terms)` : expression
  console.log(`${figures.map(figure => figure.toFixed(2).padStart(8)).join(' | ')} | ${shown}`)
}
