import type {
  Clock,
  Disk,
  DiskFile,
  Listener,
  Network,
  Platform,
  Socket,
  Timer
} from '../../../src/platform/index.ts'
import { spoiltBlocks } from '../../helpers/spoiltBlocks.ts'

const never = new Promise<never>(() => {})

/**
 * A platform that can die as a process does at `kill -9`: sockets and listeners are gone, no timer
 * fires, no answer of the disk comes; what the operating system had taken stays written.
 */
export class Mortal implements Platform {
  readonly clock: Clock
  readonly disk: Disk
  readonly network: Network
  readonly random: Platform['random']
  readonly host: Platform['host']
  readonly blocks: Platform['blocks'] = spoiltBlocks()
  /** Of writes and syncs to come: waits for it, and fails with what it resolves to. */
  trouble: (operation: 'write' | 'sync', path: string) => Promise<Error | null> = async () => null
  #dead = false
  readonly #sockets = new Set<Socket>()
  readonly #timers = new Set<Timer>()
  readonly #listeners = new Set<Listener>()
  readonly #files = new Set<DiskFile>()
  readonly #operations = new Set<Promise<unknown>>()

  constructor(real: Platform, bootId: string) {
    this.random = real.random
    this.host = { ...real.host, bootId: () => Promise.resolve(bootId) }
    this.clock = this.#mortalClock(real.clock)
    this.disk = this.#mortalDisk(real.disk)
    this.network = this.#mortalNetwork(real.network)
  }

  /** Resolves when the operating system is done with what it had been given. */
  async kill(): Promise<void> {
    this.#dead = true
    for (const timer of this.#timers) timer.cancel()
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all([...this.#listeners].map(listener => listener.close()))
    await Promise.allSettled([...this.#operations])
    await Promise.all([...this.#files].map(file => file.close()))
  }

  #alive<A extends unknown[]>(callback: (...args: A) => void): (...args: A) => void {
    return (...args) => {
      if (!this.#dead) callback(...args)
    }
  }

  #guard<R>(run: () => Promise<R>): Promise<R> {
    if (this.#dead) return never
    const operation = run()
    this.#operations.add(operation)
    const settled = operation.then(
      value => {
        this.#operations.delete(operation)
        return this.#dead ? never : value
      },
      error => {
        this.#operations.delete(operation)
        if (this.#dead) return never
        throw error
      }
    )
    return settled
  }

  #mortalClock(real: Clock): Clock {
    return {
      wallMs: () => real.wallMs(),
      monotonicMs: () => real.monotonicMs(),
      after: (delayMs, callback): Timer => {
        const timer = real.after(delayMs, () => {
          this.#timers.delete(timer)
          callback()
        })
        this.#timers.add(timer)
        return timer
      },
      every: (periodMs, callback): Timer => {
        const timer = real.every(periodMs, callback)
        this.#timers.add(timer)
        return timer
      },
      turnEnd: callback => real.turnEnd(this.#alive(callback))
    }
  }

  #mortalDisk(real: Disk): Disk {
    const guard = this.#guard.bind(this)
    return {
      open: (path, options) =>
        guard(async () => {
          const file = await real.open(path, options)
          this.#files.add(file)
          return this.#mortalFile(file)
        }),
      makeDirectory: path => guard(() => real.makeDirectory(path)),
      list: path => guard(() => real.list(path)),
      exists: path => guard(() => real.exists(path)),
      readFile: path => guard(() => real.readFile(path)),
      writeFileAtomic: (path, data) => guard(() => real.writeFileAtomic(path, data)),
      rename: (from, to) => guard(() => real.rename(from, to)),
      remove: path => guard(() => real.remove(path)),
      syncDirectory: path => guard(() => real.syncDirectory(path)),
      space: path => guard(() => real.space(path)),
      identity: path => guard(() => real.identity(path))
    }
  }

  #mortalFile(file: DiskFile): DiskFile {
    const guard = this.#guard.bind(this)
    const durably = (write: () => Promise<void>): Promise<void> =>
      guard(async () => {
        const error =
          (await this.trouble('write', file.path)) ?? (await this.trouble('sync', file.path))
        if (error !== null) throw error
        await write()
      })
    return {
      path: file.path,
      read: (target, offset, length, position) =>
        guard(() => file.read(target, offset, length, position)),
      write: (buffers, position) =>
        guard(async () => {
          const error = await this.trouble('write', file.path)
          if (error !== null) throw error
          await file.write(buffers, position)
        }),
      writeNow: (bytes, position) => {
        if (!this.#dead) file.writeNow(bytes, position)
      },
      writeDurably: (buffers, position) => durably(() => file.writeDurably(buffers, position)),
      appendDurably: (buffers, position) => durably(() => file.appendDurably(buffers, position)),
      datasync: () =>
        guard(async () => {
          const error = await this.trouble('sync', file.path)
          if (error !== null) throw error
          await file.datasync()
        }),
      truncate: length => guard(() => file.truncate(length)),
      size: () => guard(() => file.size()),
      close: () => {
        this.#files.delete(file)
        return guard(() => file.close())
      }
    }
  }

  #mortalNetwork(real: Network): Network {
    return {
      hostAddresses: () => real.hostAddresses(),
      connect: options => this.#mortalSocket(real.connect(options)),
      listen: async (options, onConnection) => {
        const listener = await real.listen(options, socket => {
          if (this.#dead) socket.destroy()
          else onConnection(this.#mortalSocket(socket))
        })
        this.#listeners.add(listener)
        return {
          port: listener.port,
          close: () => {
            this.#listeners.delete(listener)
            return listener.close()
          }
        }
      }
    }
  }

  #mortalSocket(socket: Socket): Socket {
    if (this.#dead) socket.destroy()
    this.#sockets.add(socket)
    const alive = this.#alive.bind(this)
    return {
      get remoteAddress() {
        return socket.remoteAddress
      },
      get remotePort() {
        return socket.remotePort
      },
      get localAddress() {
        return socket.localAddress
      },
      get localPort() {
        return socket.localPort
      },
      get bufferedBytes() {
        return socket.bufferedBytes
      },
      onConnect: callback => socket.onConnect(alive(callback)),
      onData: ({ room, received }) => socket.onData({ room, received: alive(received) }),
      onDrain: callback => socket.onDrain(alive(callback)),
      onClose: callback =>
        socket.onClose(error => {
          this.#sockets.delete(socket)
          if (!this.#dead) callback(error)
        }),
      write: buffers => socket.write(buffers),
      pause: () => socket.pause(),
      resume: () => socket.resume(),
      end: () => socket.end(),
      destroy: error => socket.destroy(error)
    }
  }
}
