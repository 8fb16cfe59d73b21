import t from 'tap'
import { LiveConfig, openBroker } from '../../src/broker/index.ts'
import { createRealPlatform, type Disk } from '../../src/platform/index.ts'
import {
  changePropertiesFile,
  parsePropertiesFile,
  RequestCode,
  ResponseCode
} from '../../src/protocol/index.ts'
import { MemoryDisk } from '../helpers/memoryDisk.ts'
import { RecordingLogger } from '../helpers/recordingLogger.ts'
import { halt, newDirectory, small, TestClient } from './helpers.ts'

t.test('a changed properties file', async t => {
  const change = (text: string, ...changes: [string, string][]): string =>
    changePropertiesFile(text, changes)

  t.test('keeps comments, order and separators', async t => {
    const text = '# ours\nlistenPort = 10911\n\n! old\n  brokerName:a\nbrokerIP1 10.0.0.1\n'
    t.equal(
      change(text, ['brokerName', 'b'], ['listenPort', '10912'], ['brokerIP1', '10.0.0.2']),
      '# ours\nlistenPort = 10912\n\n! old\n  brokerName:b\nbrokerIP1 10.0.0.2\n'
    )
  })

  t.test('gets new keys at its end, on a line of their own', async t => {
    t.equal(change('a=1\n', ['b', '2'], ['c', '3']), 'a=1\nb=2\nc=3\n')
    t.equal(change('a=1', ['b', '2']), 'a=1\nb=2\n')
    t.equal(change('', ['b', '2']), 'b=2\n')
    t.equal(change('# only a comment', ['b', '2']), '# only a comment\nb=2\n')
  })

  t.test('is the same text when nothing is another value', async t => {
    const text = 'a : 1\n\n#x\nb=2'
    t.equal(change(text, ['a', '1'], ['b', '2']), text)
    t.equal(change(text), text)
  })

  t.test('the last of equal keys counts and is changed', async t => {
    t.equal(change('a=1\nb=0\na=2\n', ['a', '3']), 'a=1\nb=0\na=3\n')
    t.equal(change('a=1\nb=0\na=2\n', ['a', '1']), 'a=1\nb=0\na=1\n')
  })

  t.test('continued lines are replaced as one, an open one at the end is closed', async t => {
    t.equal(
      change('peers=n0;\\\n  n1;\\\n  n2\nnext=1\n', ['peers', 'n0'], ['next', '2']),
      'peers=n0\nnext=2\n'
    )
    const open = change('path=/data\\', ['b', '2'])
    t.strictSame(
      [...parsePropertiesFile(open).entries],
      [
        ['path', '/data'],
        ['b', '2']
      ]
    )
  })

  t.test('what a line cannot hold is escaped, and read back as it was', async t => {
    const values: [string, string][] = [
      ['blank', '  two'],
      ['lines', 'a\nb\\c'],
      ['sign', '#!=:'],
      ['letters', 'grün Ω 漢'],
      ['a key: with=signs', 'x']
    ]
    const text = change('blank=1\n', ...values)
    t.strictSame([...parsePropertiesFile(Buffer.from(text, 'latin1')).entries], values)
    t.match(text, /^[\x20-\x7e\n]*$/)
  })

  t.test('line ends of Windows stay', async t => {
    t.equal(change('a=1\r\n# x\r\n', ['a', '2'], ['b', '3']), 'a=2\r\n# x\r\nb=3\r\n')
  })
})

t.test('settings changed at run time', async t => {
  const real = createRealPlatform()
  const file = '/etc/broker.conf'

  /** A configuration whose file lies on a disk that can be made to fail. */
  async function configured(text: string): Promise<{
    config: LiveConfig
    memory: MemoryDisk
    disk: Disk
    text: () => string
  }> {
    const memory = new MemoryDisk()
    const disk = memory.mount()
    await disk.makeDirectory('/etc')
    await disk.writeFileAtomic(file, Buffer.from(text))
    const config = new LiveConfig(
      parsePropertiesFile(text).entries,
      { brokerConfigPath: file, storePathRootDir: '/data' },
      { ...real, disk }
    )
    return { config, memory, disk, text: () => memory.contents(file).toString('latin1') }
  }

  t.test('are in the file when the change is acknowledged, only what changed', async t => {
    const { config, text } = await configured('# mine\nlistenPort=10911\n')
    const { changed } = config.update([
      ['listenPort', '10911'],
      ['maxMessageSize', ' 1000 '],
      ['colour', 'green']
    ])
    await config.file!.save(changed)
    t.equal(text(), '# mine\nlistenPort=10911\nmaxMessageSize=1000\n')
  })

  t.test('what a person wrote into the file meanwhile stays', async t => {
    const { config, disk, text } = await configured('listenPort=10911\n')
    await disk.writeFileAtomic(file, Buffer.from('listenPort=10911\nbrokerName=later\n'))
    await config.file!.save(config.update([['maxMessageSize', '1000']]).changed)
    t.equal(text(), 'listenPort=10911\nbrokerName=later\nmaxMessageSize=1000\n')
  })

  t.test('many at once: each is there', async t => {
    const { config, text } = await configured('')
    const saves = Array.from({ length: 20 }, (_, i) =>
      config.file!.save(config.update([['maxMessageSize', String(1000 + i)]]).changed)
    )
    await Promise.all(saves)
    t.equal(text(), 'maxMessageSize=1019\n')
  })

  t.test('a file that cannot be written is said, and made up for by the next change', async t => {
    const { config, memory, text } = await configured('listenPort=10911\n')
    memory.failNext('write', 'ENOSPC')
    await t.rejects(config.file!.save(config.update([['maxMessageSize', '1000']]).changed), {
      message: `Changed until the next start only: ${file} cannot be written (ENOSPC).`
    })
    t.equal(config.values.maxMessageSize, 1000)
    t.equal(text(), 'listenPort=10911\n')
    await config.file!.save(config.update([['maxMessageSize', '1000']]).changed)
    t.equal(text(), 'listenPort=10911\nmaxMessageSize=1000\n')
  })
})

t.test('UPDATE_BROKER_CONFIG', async t => {
  const platform = createRealPlatform()

  async function started(path: string | null): Promise<{
    client: TestClient
    logger: RecordingLogger
    directory: string
  }> {
    const directory = newDirectory()
    const logger = new RecordingLogger()
    const config = new LiveConfig(
      Object.entries({ ...small, storePathRootDir: directory }),
      path === null ? {} : { brokerConfigPath: path },
      platform
    )
    const broker = await openBroker(config, platform, logger)
    t.teardown(() => halt(broker))
    await broker.start()
    return { client: new TestClient(t, broker.address), logger, directory }
  }

  t.test('writes the file given with -c', async t => {
    const path = `${t.testdir({ 'broker.conf': '# mine\n' })}/broker.conf`
    const { client } = await started(path)
    const answer = await client.ask(
      RequestCode.UPDATE_BROKER_CONFIG,
      null,
      Buffer.from('defaultQueryMaxNum=33\n')
    )
    t.equal(answer.code, ResponseCode.SUCCESS)
    t.equal((await platform.disk.readFile(path)).toString(), '# mine\ndefaultQueryMaxNum=33\n')
    const refused = await client.ask(
      RequestCode.UPDATE_BROKER_CONFIG,
      null,
      Buffer.from('defaultQueryMaxNum=34\nmaxMessageSize=much\n')
    )
    t.equal(refused.code, ResponseCode.SYSTEM_ERROR)
    t.equal((await platform.disk.readFile(path)).toString(), '# mine\ndefaultQueryMaxNum=33\n')
  })

  t.test('says when the file cannot be written', async t => {
    const path = `${t.testdir()}/missing/broker.conf`
    const { client } = await started(path)
    const answer = await client.ask(
      RequestCode.UPDATE_BROKER_CONFIG,
      null,
      Buffer.from('defaultQueryMaxNum=33\n')
    )
    t.equal(answer.code, ResponseCode.SYSTEM_ERROR)
    t.equal(answer.remark, `Changed until the next start only: ${path} cannot be written (ENOENT).`)
  })

  t.test('without a file lasts until the next start, and says so in the log', async t => {
    const { client, logger } = await started(null)
    const answer = await client.ask(
      RequestCode.UPDATE_BROKER_CONFIG,
      null,
      Buffer.from('defaultQueryMaxNum=33\nlistenPort=1\n')
    )
    t.equal(answer.code, ResponseCode.SUCCESS)
    t.ok(logger.messages('info').includes('Configuration changed until the next start'))
    t.ok(
      logger
        .messages('warn')
        .includes('Read at the start only, and there is no file that keeps them')
    )
  })
})
