import t from 'tap'
import { parseOptions } from '../../bench/options.ts'

t.test('without a word: ours and the floor in both spaces, no peer', async t => {
  t.same(parseOptions([]), {
    mode: 'table',
    seconds: 10,
    warmupSeconds: 2,
    rounds: 5,
    peers: [],
    spaces: ['warm', 'fresh'],
    floor: true,
    jsonFile: null
  })
})

t.test('quick is shorter, and what is said goes before it', async t => {
  const quick = parseOptions(['--quick', '--rounds', '4'])
  t.ok(quick.seconds < parseOptions([]).seconds)
  t.equal(quick.rounds, 4)
  t.equal(parseOptions(['--seconds', '7', '--quick']).seconds, 7)
})

t.test('peers and spaces stand in one order, each once', async t => {
  t.same(parseOptions(['--peers', 'rocketmq,nats,rocketmq']).peers, ['nats', 'rocketmq'])
  t.same(parseOptions(['--space', 'fresh']).spaces, ['fresh'])
  t.equal(parseOptions(['--no-floor', '--peers', 'none']).floor, false)
})

t.test('the guard measures in warm space alone', async t => {
  const options = parseOptions(['--guard', '--json', 'out.json'])
  t.equal(options.mode, 'guard')
  t.same(options.spaces, ['warm'])
  t.equal(options.jsonFile, 'out.json')
})

t.test('what cannot be is told with what can', async t => {
  t.throws(() => parseOptions(['--peers', 'kafka']), /--peers kafka: known are nats, rocketmq/)
  t.throws(() => parseOptions(['--space', 'warm,']), /--space : known are warm, fresh/)
  for (const bad of ['0', '-1', '1.5', 'ten', '101', '']) {
    t.throws(() => parseOptions([`--rounds=${bad}`]), /give a whole number from 1 to 100/)
  }
  t.throws(() => parseOptions(['--guard', '--peers', 'nats']), /leave --peers out/)
  t.throws(() => parseOptions(['--bare', 'x']), /--bare/)
})
