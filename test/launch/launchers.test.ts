import { spawn } from 'node:child_process'
import { cpSync, mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type ProcessEntry, parsePs, processesOf } from '../../src/launch/processList.ts'
import { shutdown } from '../../src/launch/shutdown.ts'
import { bin, root, runProgram } from './programs.ts'

// Many processes one after the other, on a machine that may be slow.
t.setTimeout(120_000)

t.test('a folder with a space in its name, commands behind symbolic links', async t => {
  const home = join(t.testdir(), 'my mq')
  mkdirSync(join(home, 'build'), { recursive: true })
  for (const part of ['bin', 'conf', 'package.json'])
    cpSync(join(root, part), join(home, part), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(home, 'node_modules'))
  const links = join(t.testdirName, 'links')
  mkdirSync(links)
  for (const name of ['mqadmin', 'mqbroker', 'mqnamesrv', 'mqshutdown', 'tools.sh'])
    symlinkSync(join(home, 'bin', name), join(links, name))

  const early = await runProgram(t, join(links, 'mqbroker'), ['-p'], { cwd: '/' })
  t.equal(early.status, 1)
  t.equal(
    early.stderr,
    `LedgerMQ is not built yet: run "${home}/scripts/build.sh" first.\n`,
    'before the build'
  )

  cpSync(join(root, 'build', 'src'), join(home, 'build', 'src'), { recursive: true })
  const settings = await runProgram(t, join(links, 'mqbroker'), ['-p'], { cwd: '/' })
  t.equal(settings.status, 0)
  t.match(settings.stdout, `rocketmqHome=${home}\n`)
  const help = await runProgram(t, join(links, 'mqadmin'), ['help'], { cwd: '/' })
  t.equal(help.status, 0)
  t.match(help.stdout, 'clusterList')
  const tool = await runProgram(t, join(links, 'tools.sh'), ['Nothing'], { cwd: '/' })
  t.equal(tool.status, 1)
  t.match(tool.stderr, 'NAMESRV_ADDR')
})

t.test('ROCKETMQ_HOME of the environment holds', async t => {
  const { stdout } = await runProgram(t, bin('mqbroker'), ['-p'], {
    env: { ROCKETMQ_HOME: '/opt/rocketmq' }
  })
  t.match(stdout, 'rocketmqHome=/opt/rocketmq\n')
})

t.test('without any node on the PATH', async t => {
  const tools = t.testdir()
  for (const name of ['bash', 'dirname', 'readlink', 'env'])
    symlinkSync(`/usr/bin/${name}`, join(tools, name))
  const { status, stderr } = await runProgram(t, bin('mqadmin'), ['help'], { env: { PATH: tools } })
  t.equal(status, 1)
  t.match(stderr, /^Node\.js 20\.15 or later is needed, and no node is on the PATH/)
})

t.test('a reader that goes away ends a command without a word', async t => {
  for (const argv of [
    [bin('mqbroker'), '-p'],
    [bin('mqadmin'), 'help'],
    [bin('runserver.sh'), 'fastTry', 'help']
  ]) {
    const [file = '', ...rest] = argv
    const child = spawn(file, rest, { stdio: ['ignore', 'pipe', 'pipe'] })
    child.stdout.destroy()
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', text => {
      stderr += text
    })
    const status = await new Promise(resolve => child.once('close', resolve))
    t.equal(stderr, '', file)
    t.equal(status, 141, 'as of a program that SIGPIPE ended')
  }
})

t.test('mqshutdown', async t => {
  const node = (pid: number, ...words: string[]): ProcessEntry => ({ pid, words })
  const script = '/opt/ledgermq/build/src/launch/mqbroker.js'
  const processes = [
    node(7, '/usr/bin/node', '--enable-source-maps', script, '-c', 'a.conf', ''),
    node(8, 'node', script),
    node(9, 'vim', script),
    node(10, 'node', '/opt/ledgermq/build/src/launch/mqnamesrv.js'),
    node(11, 'node', '/opt/watch.js', script),
    node(12)
  ]

  /** What was printed and which processes were asked to end. */
  const call = (
    argv: string[],
    refuse: Record<number, string> = {}
  ): { status: number; lines: string[]; errors: string[]; asked: number[] } => {
    const lines: string[] = []
    const errors: string[] = []
    const asked: number[] = []
    const status = shutdown(argv, {
      processes: () => processes,
      terminate: pid => {
        asked.push(pid)
        const code = refuse[pid]
        if (code !== undefined) throw Object.assign(new Error(code), { code })
      },
      stdout: line => lines.push(line),
      stderr: line => errors.push(line)
    })
    return { status, lines, errors, asked }
  }

  t.test('finds the brokers among all processes', async t => {
    t.strictSame(processesOf('mqbroker', processes), [7, 8])
    t.strictSame(processesOf('mqnamesrv', processes), [10])
    t.strictSame(
      processesOf(
        'mqbroker',
        parsePs(`    7 /usr/local/bin/node ${script} -c a.conf\n  123 vim ${script}\n\n`)
      ),
      [7]
    )
  })

  t.test("asks each of them, in the original's words", async t => {
    t.strictSame(call(['broker']), {
      status: 0,
      lines: ['The mqbroker(7 8) is running...', 'Send shutdown request to mqbroker(7 8) OK'],
      errors: [],
      asked: [7, 8]
    })
    t.strictSame(call(['namesrv']).asked, [10])
    t.equal(call(['broker'], { 7: 'ESRCH' }).status, 0, 'one that ended meanwhile')
  })

  t.test('says whom it may not stop, and asks the others', async t => {
    const { status, errors, asked } = call(['broker'], { 7: 'EPERM' })
    t.equal(status, 1)
    t.strictSame(errors, ['No permission to stop process 7.'])
    t.strictSame(asked, [7, 8])
  })

  t.test('nobody there, or something else asked for', async t => {
    const nobody: string[] = []
    const status = shutdown(['broker'], {
      processes: () => [],
      terminate: () => t.fail('nobody to end'),
      stdout: line => nobody.push(line),
      stderr: line => nobody.push(line)
    })
    t.equal(status, 1)
    t.strictSame(nobody, ['No mqbroker running.'])
    for (const argv of [[], ['proxy'], ['broker', 'namesrv'], ['toString']]) {
      const { status, errors, asked } = call(argv)
      t.equal(status, 1)
      t.strictSame(errors, ['Usage: mqshutdown broker | namesrv'])
      t.strictSame(asked, [])
    }
  })
})
