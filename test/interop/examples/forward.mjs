// forward.mjs FROM TO: connections to one port of this machine go on to another.
import { connect, createServer } from 'node:net'

const [from, to] = process.argv.slice(2).map(Number)
createServer(near => {
  const far = connect(to, '127.0.0.1')
  for (const [one, other] of [
    [near, far],
    [far, near]
  ]) {
    one.pipe(other)
    one.on('error', () => other.destroy())
  }
}).listen(from, '127.0.0.1')
