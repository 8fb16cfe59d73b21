import t from 'tap'
import { parseOptions } from '../../bench/options.ts'

t.test('without a word: ours and both floors, no peer', async t => {
  t.same(parseOptions([]), {
    mode: 'table',
    seconds: 10,
    warmupSeconds: 2,
    rounds: 5,
    peers: [],
    floors: ['ring', 'fresh'],
    jsonFile: null
  })
})

t.test('quick is shorter, and what is said goes before it', async t => {
  const quick = parseOptions(['--quick', '--rounds', '4'])
  t.ok(quick.seconds < parseOptions([]).seconds)
  t.equal(quick.rounds, 4)
  t.equal(parseOptions(['--seconds', '7', '--quick']).seconds, 7)
})

t.test('peers and floors stand in one order, each once', async t => {
  t.same(parseOptions(['--peers', 'rocketmq,nats,rocketmq']).peers, ['nats', 'rocketmq'])
  t.same(parseOptions(['--floor', 'fresh']).floors, ['fresh'])
  t.same(parseOptions(['--floor', 'none', '--peers', 'none']).floors, [])
})

t.test('the guard measures against the ring alone', async t => {
  const options = parseOptions(['--guard', '--json', 'out.json'])
  t.equal(options.mode, 'guard')
  t.same(options.floors, ['ring'])
  t.equal(options.jsonFile, 'out.json')
})

t.test('what cannot be is told with what can', async t => {
  t.throws(() => parseOptions(['--peers', 'kafka']), /--peers kafka: known are nats, rocketmq/)
  t.throws(() => parseOptions(['--floor', 'ring,']), /--floor : known are ring, fresh/)
  for (const bad of ['0', '-1', '1.5', 'ten', '101', '']) {
    t.throws(() => parseOptions([`--rounds=${bad}`]), /give a whole number from 1 to 100/)
  }
  t.throws(() => parseOptions(['--guard', '--peers', 'nats']), /leave --peers out/)
  t.throws(() => parseOptions(['--bare', 'x']), /--bare/)
})
