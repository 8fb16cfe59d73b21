import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, lstatSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import t, { type Test } from 'tap'
import {
  createRealPlatform,
  Logging,
  type Reception,
  type Socket
} from '../../src/platform/index.ts'
import { spaceOf } from '../../src/platform/realDisk.ts'
import { diskSuite } from '../helpers/diskSuite.ts'

const platform = createRealPlatform()

/** One small room for all that comes. */
function chunks(take: (chunk: Buffer) => void): Reception {
  const room = Buffer.alloc(1000)
  return { room: () => room, received: bytes => take(room.subarray(0, bytes)) }
}

t.test('real disk', async t => {
  diskSuite(t, async t => ({ disk: platform.disk, root: t.testdir() }))

  t.test('space that the file system keeps back is neither used nor free', async t => {
    const space = spaceOf({ blocks: 1_000, bfree: 800, bavail: 300, bsize: 4_096 })
    t.strictSame(space, { totalBytes: 500 * 4_096, freeBytes: 300 * 4_096 }, '200 of 500 are used')
    const { totalBytes, freeBytes } = await platform.disk.space(t.testdir())
    t.ok(freeBytes > 0 && freeBytes <= totalBytes)
  })

  t.test('a file that is replaced behind a symbolic link keeps its mode, and the link', async t => {
    const folder = t.testdir({ 'real.conf': 'a=1' })
    const file = join(folder, 'real.conf')
    const link = join(folder, 'link.conf')
    chmodSync(file, 0o600)
    symlinkSync('real.conf', link)
    await platform.disk.writeFileAtomic(link, Buffer.from('a=2'))
    t.ok(lstatSync(link).isSymbolicLink())
    t.equal(readFileSync(file, 'utf8'), 'a=2')
    t.equal(statSync(file).mode & 0o777, 0o600)
  })
})

t.test('as many files may be open as the shell says', t => {
  const told = spawnSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }).stdout.trim()
  const { openFilesMax } = platform.host
  if (process.platform !== 'linux') t.equal(openFilesMax(), 2_048, 'where it is not known')
  else if (told === 'unlimited') t.ok(openFilesMax() > 1e9)
  else t.equal(openFilesMax(), Number(told))
  t.end()
})

t.test('sockets', async t => {
  const { network } = platform

  /** A connection to a server that does with it what `onConnection` says. */
  async function pair(t: Test, onConnection: (socket: Socket) => void): Promise<Socket> {
    const listener = await network.listen({ host: '127.0.0.1', port: 0 }, onConnection)
    const socket = network.connect({ host: '127.0.0.1', port: listener.port, timeoutMs: 1000 })
    t.after(async () => {
      socket.destroy()
      await listener.close()
    })
    return socket
  }

  t.test('buffers of one write arrive in order', async t => {
    const received: Buffer[] = []
    let ended: () => void = () => {}
    const end = new Promise<void>(resolve => {
      ended = resolve
    })
    const socket = await pair(t, server => {
      server.onData(chunks(chunk => received.push(Buffer.from(chunk))))
      server.onClose(error => {
        t.equal(error, null)
        ended()
      })
      t.equal(server.remoteAddress, '127.0.0.1')
    })
    socket.write([Buffer.from('one '), Buffer.from('two '), Buffer.from('three')])
    socket.end()
    await end
    t.equal(Buffer.concat(received).toString(), 'one two three')
  })

  t.test('what comes is put where the receiver has room, as much as there is room', async t => {
    const sent = Buffer.alloc(3_000_000, 'some bytes, over and over; ')
    const received = Buffer.alloc(sent.length)
    let end = 0
    let pauses = 0
    let largest = 0
    let done: () => void = () => {}
    const whole = new Promise<void>(resolve => {
      done = resolve
    })
    const socket = await pair(t, server => {
      server.onData({
        room: () => received.subarray(end, end + 100_000),
        received: bytes => {
          end += bytes
          largest = Math.max(largest, bytes)
          if (end > (pauses + 1) * 500_000) {
            pauses += 1
            server.pause()
            setImmediate(() => server.resume())
          }
        }
      })
      server.onClose(() => done())
    })
    socket.onData(chunks(() => {}))
    socket.write([sent])
    socket.end()
    await whole
    t.equal(end, sent.length)
    t.ok(received.equals(sent))
    t.ok(pauses > 3, `${pauses} pauses`)
    t.ok(largest > 65_536, `${largest} bytes at once: no read goes through memory of Node.js`)
  })

  t.test('a write above the high-water mark says so, and drains', async t => {
    const socket = await pair(t, server => {
      server.onData(chunks(() => {}))
      server.onClose(() => {})
    })
    await new Promise<void>(resolve => socket.onConnect(resolve))
    const drained = new Promise<void>(resolve => socket.onDrain(resolve))
    t.equal(socket.write([Buffer.alloc(32 * 1024 * 1024)]), false)
    t.ok(socket.bufferedBytes > 0)
    await drained
    t.equal(socket.bufferedBytes, 0)
  })

  t.test('a refused connection is the error of onClose', async t => {
    const listener = await network.listen({ host: '127.0.0.1', port: 0 }, () => {})
    await listener.close()
    const socket = network.connect({ host: '127.0.0.1', port: listener.port, timeoutMs: 1000 })
    const error = await new Promise<Error | null>(resolve => socket.onClose(resolve))
    t.match(error, { code: 'ECONNREFUSED' })
    t.equal(socket.write([Buffer.from('x')]), false, 'writing to it later does no harm')
  })

  t.test('a port that is taken rejects', async t => {
    const listener = await network.listen({ host: '127.0.0.1', port: 0 }, () => {})
    t.after(() => listener.close())
    await t.rejects(
      network.listen({ host: '127.0.0.1', port: listener.port }, () => {}),
      { code: 'EADDRINUSE' }
    )
  })

  t.test('host addresses end with the loopback', async t => {
    const addresses = network.hostAddresses()
    t.ok(addresses.includes('127.0.0.1'))
    t.ok(addresses.slice(-2).some(address => address === '127.0.0.1' || address === '::1'))
  })
})

t.test('a cancelled timer stays silent, the others keep their order', async t => {
  const { clock } = platform
  const seen: string[] = []
  clock.after(1, () => seen.push('cancelled')).cancel()
  let ticks = 0
  await new Promise<void>(resolve => {
    const timer = clock.every(1, () => {
      ticks += 1
      if (ticks < 3) return
      timer.cancel()
      clock.after(1, resolve)
    })
  })
  t.equal(ticks, 3)
  t.strictSame(seen, [])
})

t.test('logs', async t => {
  t.test('an event is one line with its fields, below the level it is none', async t => {
    const directory = t.testdir()
    const logging = new Logging({ directory, level: 'info', console: false })
    const logger = logging.logger('broker')
    logger.debug('not seen')
    logger.info('role changed', { term: 4, role: 'leader', remark: 'two\nlines', nothing: null })
    logger.error('broken', { error: new Error('why') })
    await logging.close()
    const lines = readFileSync(join(directory, 'broker.log'), 'utf8').trimEnd().split('\n')
    t.equal(lines.length, 2)
    t.match(
      lines[0],
      /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO broker - role changed term=4 role=leader remark="two\\nlines" nothing=null$/
    )
    t.match(lines[1], /ERROR broker - broken error="Error: why\\n/)
  })

  t.test('files are set aside by size and only so many are kept', async t => {
    const directory = t.testdir()
    const logging = new Logging({
      directory,
      level: 'info',
      console: false,
      fileBytesMax: 2000,
      filesMax: 2
    })
    const logger = logging.logger('store')
    const event = 'x'.repeat(100)
    const written = 200 * event.length
    for (let i = 0; i < 200; i += 1) {
      logger.info(event)
      await new Promise<void>(resolve => platform.clock.after(1, resolve))
    }
    await logging.close()
    const files = await platform.disk.list(directory)
    t.ok(files.length <= 2, `${files.length} files`)
    t.ok(
      files.some(file => file.name === 'store1.log'),
      'one was set aside'
    )
    const kept = files.reduce((sum, file) => sum + file.bytes, 0)
    t.ok(kept < written, `${kept} of more than ${written} bytes are kept`)
  })
})

t.test('connections are reset when the process that listens is killed', async t => {
  const server = `
    const { createRealPlatform } = await import(${JSON.stringify(new URL('../../src/platform/index.js', import.meta.url).href)})
    const listener = await createRealPlatform().network.listen(
      { host: '127.0.0.1', port: 0, resetOnDeath: true },
      socket => { socket.onClose(() => {}); socket.onData({ room: () => Buffer.alloc(100), received: () => {} }) }
    )
    process.stdout.write(String(listener.port))
  `
  const child = spawn(process.execPath, ['--input-type=module', '-e', server])
  t.after(() => child.kill('SIGKILL'))
  const port = Number(await new Promise(resolve => child.stdout.once('data', resolve)))
  const socket = platform.network.connect({ host: '127.0.0.1', port, timeoutMs: 1000 })
  const closed = new Promise<Error | null>(resolve => socket.onClose(resolve))
  await new Promise<void>(resolve => socket.onConnect(resolve))
  socket.onData(chunks(() => {}))
  child.kill('SIGKILL')
  t.match(await closed, { code: 'ECONNRESET' })
})
