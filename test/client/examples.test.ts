import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { startCluster } from './cluster.ts'

/** The compiled examples lie beside the compiled tests. */
const FOLDER = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'examples')

interface Ended {
  status: number | null
  out: string
  err: string
}

/** Runs an example as a user does; when `until` was printed, and that Ctrl-C ends it, that is what ends it. */
function run(name: string, nameServer: string, until?: string): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(FOLDER, `${name}.js`)], {
      env: { ...process.env, NAMESRV_ADDR: nameServer }
    })
    let out = ''
    let err = ''
    let ended = false
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString()
      // Messages may come before the consumer says that it has started.
      const over = until !== undefined && out.includes(until) && out.includes('Ctrl-C')
      if (over && !ended) child.kill('SIGINT')
      ended = over
    })
    child.stderr.on('data', (chunk: Buffer) => {
      err += chunk.toString()
    })
    child.on('error', reject)
    child.on('close', status => resolve({ status, out, err }))
  })
}

/** What an example prints; `until`: the line after which Ctrl-C ends it. */
type Expected = [name: string, lines: RegExp, until?: string]

/** One after the other: the second and third read what the first has sent. */
const IN_ORDER: readonly Expected[] = [
  ['producer', /^([0-9A-F]+ stored in queue \d at \d+\n){10}$/],
  ['pushConsumer', /ExampleTopic (even|odd) \{"order":\d\}/, '{"order":9}'],
  ['pullSubscription', /^4 queues came, 0 went\n(\{"order":[02468]\}\n){5}$/],
  [
    'batch',
    /^100 messages stored in queue \d from \d+ on\nthe same in [2-9] batches\n1000 messages stored\n$/
  ],
  ['pullConsumer', /of a batch 99\n/]
]
/** These have topics of their own. */
const SIDE_BY_SIDE: readonly Expected[] = [
  [
    'orderlyConsumer',
    /order 1 created\n(.*\n)*.*order 1 paid\n(.*\n)*.*order 1 packed\n(.*\n)*.*order 1 sent/
  ],
  [
    'transaction',
    /^order 1: commit\norder 2: rollback\norder 3: commit\norder [13] is delivered\norder [13] is delivered\n$/
  ],
  ['sqlFilter', /^(consuming, Ctrl-C ends it\n|amount [3459]\n)+$/, 'amount 9'],
  ['delay', /^"tea is ready" came after [1-9]\.\d s\n$/],
  ['timer', /^taken back\nin half a second\na second later\n$/],
  ['popConsumer', /^(good, attempt 1\n|late, attempt 1\n|bad, attempt [12]\n){4}$/],
  ['requestReply', /^2 \+ 2 is 4\n$/],
  ['broadcast', /^(one|two) got news\n(one|two) got news\n$/],
  ['trace', /^(Pub |SubBefore |SubAfter |.*ExampleTraced.*\n|.*example_traced.*\n)+$/],
  ['namespace', /^red: a red message of ExampleTenants\nblue: a blue message of ExampleTenants\n$/],
  ['retry', /^(good, delivery 1\n|bad, delivery [12]\n){3}dead letter: bad\n$/],
  ['admin', /queue 0: 0 to 0\nqueue 1: 0 to 0\n$/]
]

// Seventeen programs; a busy machine takes its time to start each.
const LIMIT_MS = 240_000
t.setTimeout(LIMIT_MS)

t.test('the examples run and say what they should', { timeout: LIMIT_MS }, async t => {
  const cluster = await startCluster(t, 1, {
    enablePropertyFilter: 'true',
    recallMessageEnable: 'true'
  })
  await cluster.settled()
  const check = async ([name, lines, until]: Expected): Promise<void> => {
    const { status, out, err } = await run(name, cluster.nameServer, until)
    if (err !== '') t.comment(err)
    t.equal(err, '', name)
    t.equal(status, 0, name)
    t.match(out, lines, name)
  }
  for (const each of IN_ORDER) await check(each)
  // Some at a time, so that they do not wait for each other's seconds.
  const waiting = [...SIDE_BY_SIDE]
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await check(next)
  }
  await Promise.all([worker(), worker(), worker()])
  const known = new Set([...IN_ORDER, ...SIDE_BY_SIDE].map(([name]) => `${name}.js`))
  const all = readdirSync(FOLDER).filter(name => name.endsWith('.js'))
  t.strictSame(new Set(all), known, 'each example is run')
})
