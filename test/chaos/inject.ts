/**
 * Loaded into a broker before its own code (`node --import`): takes orders that only come from inside of a process. One line of JSON a
 * connection, on the socket that LEDGERMQ_CHAOS_SOCKET names: `{"stallMs": 500}` blocks the loop, `{"clockOffsetMs": -60000}` moves the wall clock.
 */
import { rmSync } from 'node:fs'
import { createServer } from 'node:net'
import process from 'node:process'

interface Order {
  stallMs?: number
  clockOffsetMs?: number
}

const path = process.env['LEDGERMQ_CHAOS_SOCKET']
if (path !== undefined) {
  const wallMs = Date.now.bind(Date)
  let offsetMs = 0
  Date.now = () => wallMs() + offsetMs
  const never = new Int32Array(new SharedArrayBuffer(4))
  rmSync(path, { force: true })
  createServer(socket => {
    socket.on('data', data => {
      const order = JSON.parse(data.toString()) as Order
      if (order.clockOffsetMs !== undefined) offsetMs = order.clockOffsetMs
      if (order.stallMs !== undefined) Atomics.wait(never, 0, 0, order.stallMs)
      socket.end()
    })
    socket.on('error', () => socket.destroy())
  })
    .listen(path)
    .unref()
}
