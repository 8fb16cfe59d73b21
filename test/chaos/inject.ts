/**
 * Loaded into a broker before its own code (`node --import`): takes orders that only come from inside of a process. One line of JSON a
 * connection, on the socket that LEDGERMQ_CHAOS_SOCKET names: `{"stallMs": 500}` blocks the loop, `{"clockOffsetMs": -60000}` moves the wall
 * clock, `{"disk": {…}}` makes the disk slow or bad, `{"disk": null}` good again.
 */
import fs, { readlinkSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import process from 'node:process'

/** What happens to operations on files whose path has `path` in it. A write into a file with O_DSYNC is a `write` and a `sync`. */
export interface DiskTrouble {
  readonly operations: readonly ('read' | 'write' | 'sync')[]
  readonly path: string
  /** EIO, ENOSPC, …; null: it only takes long. */
  readonly code: string | null
  readonly delayMs: number
}

export interface InjectOrder {
  readonly stallMs?: number
  readonly clockOffsetMs?: number
  readonly disk?: DiskTrouble | null
}

type Callback = (error: Error | null, ...results: unknown[]) => void
type Operation = (descriptor: number, ...args: unknown[]) => void

const path = process.env['LEDGERMQ_CHAOS_SOCKET']
let disk: DiskTrouble | null = null

/** The trouble that this operation on an open file is in. */
function troubleOf(descriptor: number, operation: 'read' | 'write' | 'sync'): DiskTrouble | null {
  if (disk === null) return null
  const hits =
    disk.operations.includes(operation) ||
    (operation === 'write' && disk.operations.includes('sync') && isDurable(descriptor))
  if (!hits) return null
  return readlinkSync(`/proc/self/fd/${descriptor}`).includes(disk.path) ? disk : null
}

function isDurable(descriptor: number): boolean {
  const flags = /^flags:\s*(\d+)/m.exec(
    fs.readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1')
  )?.[1]
  return (Number.parseInt(flags ?? '0', 8) & fs.constants.O_DSYNC) !== 0
}

/** Puts the trouble in front of one of node:fs' functions that end with a callback. */
function patch(
  name: 'read' | 'write' | 'writev' | 'fdatasync',
  operation: 'read' | 'write' | 'sync'
): void {
  const real = fs[name] as unknown as Operation
  const patched: Operation = (descriptor, ...args) => {
    const trouble = troubleOf(descriptor, operation)
    if (trouble === null) {
      real(descriptor, ...args)
      return
    }
    const { code, delayMs } = trouble
    setTimeout(() => {
      if (code === null) real(descriptor, ...args)
      else {
        const callback = args.at(-1) as Callback
        callback(Object.assign(new Error(`${code}: planted, ${operation}`), { code }))
      }
    }, delayMs)
  }
  Object.assign(fs, { [name]: patched })
}

if (path !== undefined) {
  const wallMs = Date.now.bind(Date)
  let offsetMs = 0
  Date.now = () => wallMs() + offsetMs
  patch('read', 'read')
  patch('write', 'write')
  patch('writev', 'write')
  patch('fdatasync', 'sync')
  const never = new Int32Array(new SharedArrayBuffer(4))
  rmSync(path, { force: true })
  createServer(socket => {
    socket.on('data', data => {
      const order = JSON.parse(data.toString()) as InjectOrder
      if (order.clockOffsetMs !== undefined) offsetMs = order.clockOffsetMs
      if (order.disk !== undefined) disk = order.disk
      if (order.stallMs !== undefined) Atomics.wait(never, 0, 0, order.stallMs)
      socket.end()
    })
    socket.on('error', () => socket.destroy())
  })
    .listen(path)
    .unref()
}
