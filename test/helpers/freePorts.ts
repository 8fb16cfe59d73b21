import net from 'node:net'
import process from 'node:process'

/** Below the range from which the system gives out ports: there another program's outgoing connection may take a free one at any time. */
const FIRST = 22_000
const PORTS_PER_PROCESS = 100
/** Processes of one run of the tests follow each other in number, and so take different parts. */
const PARTS = 80

let next = 0

/** Different ports at which nobody listens. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = []
  for (let tried = 0; ports.length < count; tried++) {
    if (tried > 2 * PORTS_PER_PROCESS) throw new Error('too few ports are free')
    const part = (process.pid % PARTS) * PORTS_PER_PROCESS
    const port = FIRST + part + (next++ % PORTS_PER_PROCESS)
    if (!ports.includes(port) && (await isFree(port))) ports.push(port)
  }
  return ports
}

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = net.createServer()
    server.once('error', () => resolve(false))
    server.listen(port, () => server.close(() => resolve(true)))
  })
}
