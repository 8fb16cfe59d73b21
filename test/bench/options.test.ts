import t from 'tap'
import { parseOptions, ROWS } from '../../bench/options.ts'

t.test('without a word: ours and the floor in both spaces, no peer', async t => {
  const { sizes, ...rest } = parseOptions([])
  t.ok(Object.values(sizes).every(size => size > 0))
  t.same(rest, {
    mode: 'table',
    rows: ['1k', '128', 'single', 'batch', 'consume'],
    seconds: 10,
    warmupSeconds: 2,
    halfSeconds: 10,
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

t.test('rows stand in one order, with the one that others take their rate from', async t => {
  t.same(parseOptions(['--rows', 'half,128']).rows, ['1k', '128', 'half'])
  t.same(parseOptions(['--rows', 'start']).rows, ['start'])
  t.same(parseOptions(['--rows', 'all']).rows, ROWS)
  t.same(parseOptions(['--guard', '--rows', 'all']).rows, ['1k'])
})

t.test('quick rows are smaller, and what is said goes before it', async t => {
  const { sizes } = parseOptions(['--quick', '--backlog', '7', '--log-mib=20480'])
  t.match(sizes, { backlog: 7, logMib: 20_480 })
  t.ok(sizes.queues < parseOptions([]).sizes.queues)
  t.equal(parseOptions(['--half-seconds', '600', '--seconds', '4']).halfSeconds, 600)
  t.equal(parseOptions(['--seconds', '4']).halfSeconds, 4)
})

t.test('what cannot be is told with what can', async t => {
  t.throws(() => parseOptions(['--peers', 'kafka']), /--peers kafka: known are nats, rocketmq/)
  t.throws(() => parseOptions(['--space', 'warm,']), /--space : known are warm, fresh/)
  for (const bad of ['0', '-1', '1.5', 'ten', '101', '']) {
    t.throws(() => parseOptions([`--rounds=${bad}`]), /give a whole number from 1 to 100/)
  }
  t.throws(() => parseOptions(['--guard', '--peers', 'nats']), /leave --peers out/)
  t.throws(() => parseOptions(['--rows', '2k']), /--rows 2k: known are 1k, 128/)
  t.throws(() => parseOptions(['--rows', 'none']), /--rows: give some of 1k, 128/)
  t.throws(() => parseOptions(['--rows', 'groups', '--space', 'none']), /leaves ours out/)
  t.throws(() => parseOptions(['--clients', '20001']), /from 1 to 20000/)
  t.throws(() => parseOptions(['--bare', 'x']), /--bare/)
})
