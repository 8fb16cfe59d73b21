import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import process from 'node:process'
import t, { type Test } from 'tap'
import { bin, type Ended, fakeNode, holdPort, root, runProgram } from './programs.ts'

const script = `${root}/scripts/fast-try.sh`

/** Raft ports from 61011 on lie beyond those that the system gives to outgoing connections. */
const OFFSET = 20_100
const OTHER_OFFSET = 20_200

function fastTry(t: Test, offset: number | string, ...argv: string[]): Promise<Ended> {
  return runProgram(t, script, argv, { env: { PORT_OFFSET: String(offset) } })
}

// Many processes one after the other, on a machine that may be slow.
t.setTimeout(120_000)

t.test('the life of a cluster', async t => {
  const state = `/tmp/rmqstore-${OFFSET}`
  const namesrv = `127.0.0.1:${9876 + OFFSET}`
  await fastTry(t, OFFSET, 'clean')
  t.teardown(() => fastTry(t, OFFSET, 'clean'))

  const verb = async (...argv: string[]): Promise<string> => {
    const { status, stdout, stderr } = await fastTry(t, OFFSET, ...argv)
    if (status !== 0) throw new Error(`fast-try.sh ${argv.join(' ')}: ${status} ${stdout}${stderr}`)
    return stdout
  }
  const mqadmin = async (...argv: string[]): Promise<string> => {
    const { status, stdout, stderr } = await runProgram(t, bin('mqadmin'), [...argv, '-n', namesrv])
    if (status !== 0) throw new Error(`mqadmin ${argv.join(' ')}: ${status} ${stdout}${stderr}`)
    return stdout
  }
  const leaderNow = async (): Promise<string> => {
    for (;;) {
      const name = /^(n\d) .*, leader$/m.exec(await verb('status'))?.[1]
      if (name !== undefined) return name
    }
  }
  const pidFile = (name: string): string => `${state}/run/${name}.pid`
  const pidOf = (name: string): number => Number(readFileSync(pidFile(name), 'utf8'))

  t.test('start: processes, leader, messages, the cluster list and what to try next', async t => {
    const text = await verb()
    for (const name of ['namesrv', 'n0', 'n1', 'n2'])
      t.match(text, new RegExp(`^${name} is up on port \\d+ \\(process \\d+\\)\\.$`, 'm'))
    t.match(text, /^The leader is n[012] on port 510[123]1 \(after \d+ ms\)\.$/m)
    for (let i = 0; i < 5; i++) t.match(text, `Sent and received "Hello from message ${i}" (queue `)
    t.match(text, /^#Cluster Name +#Broker Name/m)
    t.equal(text.match(/^RaftCluster +RaftNode00 /gm)?.length, 3)
    t.match(text, `Point any RocketMQ client at the name server ${namesrv}.`)
    t.match(text, `PORT_OFFSET=${OFFSET} scripts/fast-try.sh kill leader`)
    t.match(text, `State and logs: ${state}`)
  })

  t.test('start again finds everything running', async t => {
    const before = ['namesrv', 'n0', 'n1', 'n2'].map(pidOf)
    const text = await verb('start')
    for (const name of ['namesrv', 'n0', 'n1', 'n2'])
      t.match(
        text,
        new RegExp(`^${name} is running already \\(process \\d+, port \\d+\\)\\.$`, 'm')
      )
    t.strictSame(['namesrv', 'n0', 'n1', 'n2'].map(pidOf), before)
    t.match(text, 'Sent and received "Hello from message 0"')
  })

  t.test('after kill leader another one leads, and start brings the first one back', async t => {
    const first = await leaderNow()
    const pid = pidOf(first)
    t.match(await verb('kill', 'leader'), `${first} was killed.`)
    const second = await leaderNow()
    t.not(second, first)
    t.match(await verb('status'), new RegExp(`^${first} +port \\d+ +not running$`, 'm'))
    const text = await verb('start')
    t.match(text, new RegExp(`^${first} is up on port`, 'm'))
    t.match(text, `${second} is running already`)
    t.not(pidOf(first), pid)
  })

  t.test('restart of one broker, and a change by mqadmin that outlives it', async t => {
    const address = /(\S+):51011 /.exec(await mqadmin('clusterList'))?.[1]
    await mqadmin(
      'updateBrokerConfig',
      '-b',
      `${address}:51011`,
      '-k',
      'fileReservedTime',
      '-v',
      '71'
    )
    const pid = pidOf('n0')
    const text = await verb('restart', 'n0')
    t.match(text, /^n0 has stopped\.\nn0 is up on port 51011/m)
    t.not(pidOf('n0'), pid)
    const shown = await mqadmin('getBrokerConfig', '-b', `${address}:51011`)
    t.match(shown, /^fileReservedTime += +71$/m)
    const copy = readFileSync(`${state}/conf/broker-n0.conf`, 'utf8')
    const sample = readFileSync(`${root}/conf/dledger/broker-n0.conf`, 'utf8')
    t.match(copy, /^# Node n0 of a three-node group/)
    t.match(copy, /\nfileReservedTime=71\n$/)
    t.notMatch(sample, 'fileReservedTime')
  })

  t.test('stop of one member; once more is no error', async t => {
    t.equal(await verb('stop', 'n1'), 'n1 has stopped.\n')
    t.equal(await verb('stop', 'n1'), 'n1 is not running.\n')
    t.equal(await verb('kill', 'n1'), 'n1 is not running.\n')
    t.match(await verb('status'), /^n1 +port 51021 +not running$/m)
  })

  t.test(
    'the pid file of a dead process counts for nothing, even if its number lives on',
    async t => {
      writeFileSync(pidFile('n1'), `${process.pid}\n`)
      t.match(await verb('status'), /^n1 +port 51021 +not running$/m)
      t.equal(await verb('kill', 'n1'), 'n1 is not running.\n')
      t.notOk(existsSync(pidFile('n1')))
      writeFileSync(pidFile('n1'), 'garbage')
      t.match(await verb('start', 'n1'), /^n1 is up on port 51021/)
    }
  )

  t.test('a broker that ends at its start is reported with its reason', async t => {
    await verb('stop', 'n2')
    const file = `${state}/conf/broker-n2.conf`
    const text = readFileSync(file, 'utf8')
    writeFileSync(file, `${text}maxMessageSize=much\n`)
    const { status, stderr } = await fastTry(t, OFFSET, 'start', 'n2')
    t.equal(status, 1)
    t.match(stderr, 'n2 did not start: it ended with status 253.')
    t.match(stderr, 'maxMessageSize = much: use a whole number from')
    t.notMatch(stderr, /^\s+at /m)
    writeFileSync(file, text)
  })

  t.test('stop ends all, kill leader then has nobody to kill', async t => {
    const text = await verb('stop')
    for (const name of ['namesrv', 'n0', 'n1']) t.match(text, `${name} has stopped.`)
    const { status, stderr } = await fastTry(t, OFFSET, 'kill', 'leader')
    t.equal(status, 1)
    t.equal(stderr, 'The cluster has no leader at present.\n')
  })

  t.test('clean removes data, logs and configuration', async t => {
    t.equal(await verb('clean'), `${state} is removed.\n`)
    t.notOk(existsSync(state))
    t.equal(await verb('clean'), `${state} is removed.\n`)
  })
})

t.test('refusals are one sentence and a status', async t => {
  t.test('a PORT_OFFSET that is none', async t => {
    for (const offset of ['abc', '-1', '1.5', '99999']) {
      const { status, stderr } = await fastTry(t, offset, 'status')
      t.equal(status, 1)
      t.equal(
        stderr,
        `PORT_OFFSET=${offset}: use a whole number from 0 to 24620, for example 1000.\n`
      )
    }
  })

  t.test('unknown words', async t => {
    for (const argv of [['begin'], ['start', 'n0', 'n1'], ['toString']]) {
      const { status, stdout, stderr } = await fastTry(t, OTHER_OFFSET, ...argv)
      t.equal(status, 1)
      t.match(stderr, /^Usage: scripts\/fast-try\.sh \[start\|stop/)
      t.equal(stdout, '')
    }
    const { status, stderr } = await fastTry(t, OTHER_OFFSET, 'start', 'n7')
    t.equal(status, 1)
    t.equal(stderr, 'There is no n7 here: use namesrv, n0 to n4 or leader.\n')
  })

  t.test('help is no failure', async t => {
    const { status, stdout } = await fastTry(t, OTHER_OFFSET, 'help')
    t.equal(status, 0)
    t.match(stdout, 'PORT_OFFSET=1000')
  })

  t.test('a port that another program holds', async t => {
    await holdPort(t, 30_911 + OTHER_OFFSET)
    t.after(() => fastTry(t, OTHER_OFFSET, 'clean'))
    const { status, stderr } = await fastTry(t, OTHER_OFFSET, 'start', 'n0')
    t.equal(status, 1)
    t.match(stderr, /^Port 51111, which n0 needs, is held by another program\. .*PORT_OFFSET=/)
    t.equal(stderr.trimEnd().split('\n').length, 1)
  })

  t.test('a state directory that cannot be one', async t => {
    const state = `/tmp/rmqstore-${OTHER_OFFSET}`
    rmSync(state, { recursive: true, force: true })
    writeFileSync(state, 'a file in its place')
    t.after(() => rmSync(state, { force: true }))
    const { status, stderr } = await fastTry(t, OTHER_OFFSET, 'start')
    t.equal(status, 1)
    t.match(
      stderr,
      /^A directory is expected at \/tmp\/rmqstore-20200\S*, and something else is there\.\n$/
    )
  })

  t.test('an old Node.js', async t => {
    const PATH = `${fakeNode(t, 'v18.20.4')}:${process.env['PATH']}`
    for (const file of [script, bin('mqadmin'), bin('mqbroker')]) {
      const { status, stderr } = await runProgram(t, file, ['help'], { env: { PATH } })
      t.equal(status, 1)
      t.match(stderr, /^Node\.js 20\.15 or later is needed; this is v18\.20\.4 \(.*node\)\.\n$/)
    }
  })
})
