import { spawn } from 'node:child_process'
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

t.test('the examples run and say what they should', async t => {
  const cluster = await startCluster(t, 1, { enablePropertyFilter: 'true' })
  await cluster.settled()
  const expected: [name: string, lines: RegExp, until?: string][] = [
    ['producer', /^([0-9A-F]+ stored in queue \d at \d+\n){10}$/],
    ['pushConsumer', /ExampleTopic (even|odd) \{"order":\d\}/, '{"order":9}'],
    ['batch', /^100 messages stored in queue \d from \d+ on\n1000 messages stored\n$/],
    ['pullConsumer', /of a batch 99\n/],
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
    ['admin', /queue 0: 0 to 0\nqueue 1: 0 to 0\n$/]
  ]
  for (const [name, lines, until] of expected) {
    const { status, out, err } = await run(name, cluster.nameServer, until)
    t.equal(err, '', name)
    t.equal(status, 0, name)
    t.match(out, lines, name)
  }
})
