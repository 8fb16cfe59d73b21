import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { bin, freePort, Program, runProgram } from './programs.ts'

/** Statuses of the original: -3 for a start that was refused. */
const START_FAILED = 253

function answers(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = createConnection({ port, host: '127.0.0.1' })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

async function startNamesrv(t: Test): Promise<{ program: Program; port: number; file: string }> {
  const port = await freePort()
  const home = join(t.testdir(), 'namesrv')
  mkdirSync(home)
  const file = join(home, 'namesrv.properties')
  writeFileSync(file, `listenPort = ${port}\nkvConfigPath = ${home}/kv.json\n`)
  const program = new Program(t, bin('mqnamesrv'), ['-c', file])
  await program.says(/boot success/)
  return { program, port, file }
}

/** A broker's file in a directory of its own. */
async function brokerFile(t: Test, lines = ''): Promise<{ file: string; port: number }> {
  const home = join(t.testdirName, 'broker')
  mkdirSync(home, { recursive: true })
  const port = await freePort()
  const file = join(home, 'broker.conf')
  writeFileSync(
    file,
    `# a broker of its own\nlistenPort=${port}\nbrokerIP1=127.0.0.1\nstorePathRootDir=${home}/store\n` +
      `mappedFileSizeCommitLog=8388608\nflushDiskType=ASYNC_FLUSH\n${lines}`
  )
  return { file, port }
}

// Many processes one after the other, on a machine that may be slow.
t.setTimeout(120_000)

t.test('mqnamesrv', async t => {
  t.test('boots with the words of the original and ends gracefully at SIGTERM', async t => {
    const { program, port, file } = await startNamesrv(t)
    t.match(program.stdout, `load config properties file OK, ${file}\n`)
    t.match(program.stdout, /^The Name Server boot success\. serializeType=JSON$/m)
    t.equal(await answers(port), true)
    program.child.kill('SIGTERM')
    const { status, stderr } = await program.ended
    t.equal(status, 0)
    t.equal(stderr, '')
    t.equal(await answers(port), false)
  })

  t.test('prints its settings', async t => {
    const { status, stdout } = await runProgram(t, bin('mqnamesrv'), ['-p'])
    t.equal(status, 0)
    t.match(stdout, /^listenPort=9876$/m)
    t.match(stdout, `kvConfigPath=${t.testdirName}/namesrv/kvConfig.json\n`)
  })

  t.test('helps', async t => {
    const { status, stdout } = await runProgram(t, bin('mqnamesrv'), ['-h'])
    t.equal(status, 0)
    for (const option of ['-c, --configFile', '-n, --namesrvAddr', '-p, --printConfigItem'])
      t.match(stdout, option)
  })

  t.test('a file that is not there, a port that is taken, an option that is none', async t => {
    const missing = await runProgram(t, bin('mqnamesrv'), ['-c', '/nowhere/ns.conf'])
    t.equal(missing.status, START_FAILED)
    t.equal(missing.stderr, '/nowhere/ns.conf does not exist.\n')
    const { port, file } = await startNamesrv(t)
    const second = await runProgram(t, bin('mqnamesrv'), ['-c', file])
    t.equal(second.status, START_FAILED)
    t.equal(second.stderr, `Port ${port} is in use by another program.\n`)
    const unknown = await runProgram(t, bin('mqnamesrv'), ['--quick'])
    t.equal(unknown.status, 1)
    t.match(unknown.stderr, "unknown option '--quick'")
  })
})

t.test('mqbroker', async t => {
  t.test('alone, with a name server: messages go and come, changes stay in its file', async t => {
    const { port: namesrvPort } = await startNamesrv(t)
    const namesrv = `127.0.0.1:${namesrvPort}`
    const { file, port } = await brokerFile(t, 'colour=green\n')
    const program = new Program(t, bin('mqbroker'), ['-c', file], {
      env: { NAMESRV_ADDR: namesrv }
    })
    const [line] = await program.says(/^The broker\[.*$/m)
    t.equal(
      line,
      `The broker[broker-a, 127.0.0.1:${port}] boot success. serializeType=JSON and name server is ${namesrv}`
    )
    t.equal(
      program.stdout.match(/colour/g)?.length,
      2,
      'warned of once: in the text and as a field'
    )
    t.match(program.stdout, /WARN broker - Unknown key in the configuration: colour/)

    const env = { NAMESRV_ADDR: namesrv }
    const list = await runProgram(t, bin('mqadmin'), ['clusterList'], { env })
    t.match(list.stdout, new RegExp(`^DefaultCluster +broker-a +0 +127\\.0\\.0\\.1:${port} `, 'm'))

    const produced = await runProgram(
      t,
      bin('tools.sh'),
      ['org.apache.rocketmq.example.quickstart.Producer'],
      { env }
    )
    t.equal(produced.status, 0)
    t.equal(produced.stdout.match(/^SendResult \[sendStatus=SEND_OK, msgId=/gm)?.length, 1000)
    const consumer = new Program(
      t,
      bin('tools.sh'),
      ['org.apache.rocketmq.example.quickstart.Consumer'],
      { env }
    )
    await consumer.says(/^Consumer Started\.$/m)
    const received = new Set<string>()
    while (received.size < 1000) {
      await consumer.says(/ Receive New Messages: /)
      for (const [, key] of consumer.stdout.matchAll(/UNIQ_KEY=([0-9A-F]{32})/g)) received.add(key!)
      await new Promise(resolve => consumer.child.stdout!.once('data', resolve))
      for (const [, key] of consumer.stdout.matchAll(/UNIQ_KEY=([0-9A-F]{32})/g)) received.add(key!)
    }
    t.equal(received.size, 1000)
    consumer.child.kill('SIGKILL')

    const update = ['updateBrokerConfig', '-b', `127.0.0.1:${port}`, '-k', 'fileReservedTime']
    const updated = await runProgram(t, bin('mqadmin'), [...update, '-v', '71'], { env })
    t.equal(updated.status, 0)
    t.match(
      readFileSync(file, 'utf8'),
      /^# a broker of its own\nlistenPort=\d+\n(.*\n)*colour=green\nfileReservedTime=71\n$/
    )

    program.child.kill('SIGINT')
    // The consumer's connection is gone; a producer that went away is none to wait for.
    program.child.kill('SIGINT')
    t.equal((await program.ended).status, 0)

    const again = new Program(t, bin('mqbroker'), ['-c', file, '-n', namesrv])
    await again.says(/boot success/)
    const shown = await runProgram(
      t,
      bin('mqadmin'),
      ['getBrokerConfig', '-b', `127.0.0.1:${port}`],
      { env }
    )
    t.match(shown.stdout, /^fileReservedTime += +71$/m)
    const status = await runProgram(t, bin('mqadmin'), ['topicStatus', '-t', 'TopicTest'], { env })
    const counts = [...status.stdout.matchAll(/^broker-a +\d+ +0 +(\d+) /gm)].map(row =>
      Number(row[1])
    )
    t.equal(
      counts.reduce((sum, count) => sum + count, 0),
      1000,
      'what was stored is there again'
    )
    again.child.kill('SIGTERM')
    t.equal((await again.ended).status, 0)
  })

  const taken = (await answers(10_911)) ? 'port 10911 is taken on this machine' : false
  const title = 'without any file: the single broker of DefaultCluster on port 10911'
  t.test(title, { skip: taken }, async t => {
    const program = new Program(t, bin('mqbroker'), ['-n', '127.0.0.1:1'])
    const [line] = await program.says(/^The broker\[.*$/m)
    t.match(
      line,
      /^The broker\[broker-a, [^ ]+:10911\] boot success\. serializeType=JSON and name server is 127\.0\.0\.1:1$/
    )
    t.ok(existsSync(join(t.testdirName, 'store')))
    t.ok(existsSync(join(t.testdirName, 'logs', 'broker.log')))
    program.child.kill('SIGTERM')
    const { status, stderr } = await program.ended
    t.equal(status, 0)
    t.equal(stderr, '')
  })

  t.test('-p prints all settings, -m those that matter most', async t => {
    const { file, port } = await brokerFile(t)
    const all = await runProgram(t, bin('mqbroker'), ['-c', file, '-n', '127.0.0.1:9', '-p'])
    t.equal(all.status, 0)
    for (const line of [`listenPort=${port}`, 'namesrvAddr=127.0.0.1:9', 'maxMessageSize=4194304'])
      t.match(all.stdout, new RegExp(`^${line}$`, 'm'))
    const some = await runProgram(t, bin('mqbroker'), ['-c', file, '-m'])
    t.equal(some.status, 0)
    t.match(some.stdout, new RegExp(`^listenPort=${port}$`, 'm'))
    t.match(some.stdout, /^autoCreateTopicEnable=true$/m)
    t.notMatch(some.stdout, 'maxMessageSize')
    const names = (text: string): string[] => text.match(/^\w+(?==)/gm) ?? []
    const known = new Set(names(all.stdout))
    t.strictSame(
      names(some.stdout).filter(name => !known.has(name)),
      []
    )
    t.notOk(existsSync(join(t.testdirName, 'broker', 'store')), 'nothing was opened')
  })

  t.test('helps', async t => {
    const { status, stdout } = await runProgram(t, bin('mqbroker'), ['-h'])
    t.equal(status, 0)
    for (const option of ['-c, --configFile', '-n, --namesrvAddr', '-p, --printConfigItem', '-m, '])
      t.match(stdout, option)
  })

  t.test('refuses what it cannot use, with all of the reasons', async t => {
    const { file } = await brokerFile(t, 'maxMessageSize=much\nflushDiskType=SOMETIMES\n')
    const bad = await runProgram(t, bin('mqbroker'), ['-c', file])
    t.equal(bad.status, START_FAILED)
    t.match(bad.stderr, /^maxMessageSize = much: use a whole number from \d+ to \d+$/m)
    t.match(bad.stderr, /^flushDiskType = SOMETIMES: use one of SYNC_FLUSH, ASYNC_FLUSH$/m)
    const missing = await runProgram(t, bin('mqbroker'), ['-c', '/nowhere/broker.conf'])
    t.equal(missing.status, START_FAILED)
    t.equal(missing.stderr, '/nowhere/broker.conf does not exist.\n')
    const address = await runProgram(t, bin('mqbroker'), ['-n', 'nobody'])
    t.equal(address.status, START_FAILED)
    t.match(address.stderr, /^namesrvAddr = nobody: use host:port/)
    const level = await runProgram(t, bin('mqbroker'), [], { env: { LEDGERMQ_LOG_LEVEL: 'loud' } })
    t.equal(level.status, START_FAILED)
    t.equal(level.stderr, 'LEDGERMQ_LOG_LEVEL=loud: use one of error, warn, info, debug\n')
  })

  t.test('a second signal hurries a leader that waits for its clients', async t => {
    const { port: namesrvPort } = await startNamesrv(t)
    const { file, port } = await brokerFile(t, 'shutdownGraceSeconds=300\n')
    const program = new Program(t, bin('mqbroker'), ['-c', file, '-n', `127.0.0.1:${namesrvPort}`])
    await program.says(/boot success/)
    const consumer = new Program(
      t,
      bin('tools.sh'),
      ['org.apache.rocketmq.example.quickstart.Consumer'],
      { env: { NAMESRV_ADDR: `127.0.0.1:${namesrvPort}` } }
    )
    await consumer.says(/^Consumer Started\.$/m)
    t.equal(await answers(port), true)
    program.child.kill('SIGTERM')
    await program.says(/Broker stops/)
    program.child.kill('SIGTERM')
    t.equal((await program.ended).status, 0)
  })

  t.test('goes on serving when the reader of its output goes away', async t => {
    const { file, port } = await brokerFile(t)
    const program = new Program(t, bin('mqbroker'), ['-c', file])
    await program.says(/boot success/)
    program.child.stdout!.destroy()
    program.child.stderr!.destroy()
    const update = ['updateBrokerConfig', '-b', `127.0.0.1:${port}`, '-k', 'fileReservedTime', '-v']
    for (const value of ['70', '71'])
      t.equal(
        (await runProgram(t, bin('mqadmin'), [...update, value, '-n', '127.0.0.1:1'])).status,
        0
      )
    t.equal(program.child.exitCode, null)
    t.equal(await answers(port), true)
    t.match(
      readFileSync(join(t.testdirName, 'logs', 'broker.log'), 'utf8'),
      /Configuration changed [^\n]*\n[^\n]*fileReservedTime/
    )
  })
})
