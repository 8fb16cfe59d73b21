/**
 * One node of the floor: the least that three Node.js processes must do to keep a replicated log, and nothing else.
 *
 *   node build/bench/barePipeline.js follower|leader warm|fresh FILE
 *
 * Forked by floor.ts. Says `{ port }` over the channel to its parent; a leader first gets `{ followers: [port, port] }`.
 * A frame is a length of four bytes (big-endian) and that many bytes, on every connection.
 *
 * The leader puts the frames of one turn of the event loop into one block, writes the block to its file and sends it to both
 * followers. A follower writes it and answers with the number of blocks written. Each process has one write open at a time,
 * followed by fdatasync; what comes meanwhile is the next write. Once two of the three have a block, the leader answers each
 * frame in it. No header is read, nothing is checked, no queue or index is kept.
 */
import {
  closeSync,
  fdatasync,
  fdatasyncSync,
  ftruncateSync,
  openSync,
  writeSync,
  writev
} from 'node:fs'
import net from 'node:net'
import process from 'node:process'

const LENGTH_BYTES = 4
/** As long as the answer to a send is in the remoting protocol. */
const ANSWER_BYTES = 160
/** A ring goes over these bytes again and again; they are written once before the first client comes. */
const RING_BYTES = 256 * 1024 * 1024
/** A fresh file that has grown so far is emptied, which gives its blocks back; a full disk would end the run. */
const FRESH_BYTES_MAX = 4 * 1024 * 1024 * 1024
const FILL_BYTES = 4 * 1024 * 1024
const QUORUM = 2

interface Block {
  /** The frames, each with its length. */
  bytes: Buffer
  /** How many nodes have it on disk. */
  written: number
  /** How many frames of which connection it holds. */
  askers: Map<net.Socket, number>
}

/** A file with one write open at a time. Calls back with the number of blocks that became durable. */
class Disk {
  readonly #fd: number
  readonly #ring: boolean
  readonly #durable: (blocks: number) => void
  #position = 0
  #waiting: Buffer[] = []
  #busy = false

  constructor(path: string, ring: boolean, durable: (blocks: number) => void) {
    this.#fd = openSync(path, 'w')
    this.#ring = ring
    this.#durable = durable
    if (ring) {
      const fill = Buffer.alloc(FILL_BYTES, 1)
      for (let at = 0; at < RING_BYTES; at += FILL_BYTES)
        writeSync(this.#fd, fill, 0, FILL_BYTES, at)
      fdatasyncSync(this.#fd)
    }
    process.once('exit', () => closeSync(this.#fd))
  }

  write(bytes: Buffer): void {
    this.#waiting.push(bytes)
    if (!this.#busy) this.#next()
  }

  #next(): void {
    const blocks = this.#waiting
    this.#waiting = []
    this.#busy = true
    const length = blocks.reduce((sum, { length }) => sum + length, 0)
    if (this.#position + length > (this.#ring ? RING_BYTES : FRESH_BYTES_MAX)) {
      this.#position = 0
      if (!this.#ring) ftruncateSync(this.#fd)
    }
    writev(this.#fd, blocks, this.#position, error => {
      if (error !== null) throw error
      this.#position += length
      fdatasync(this.#fd, failure => {
        if (failure !== null) throw failure
        this.#busy = false
        this.#durable(blocks.length)
        if (this.#waiting.length > 0) this.#next()
      })
    })
  }
}

/** Cuts what a socket brings into runs of whole frames; `take` gets a run and the number of frames in it. */
function onFrames(socket: net.Socket, take: (run: Buffer, frames: number) => void): void {
  let partial: Buffer[] = []
  let partialBytes = 0
  let missingBytes = 0
  socket.on('data', chunk => {
    let bytes = chunk
    if (partialBytes > 0) {
      partial.push(chunk)
      partialBytes += chunk.length
      if (partialBytes < missingBytes) return
      bytes = Buffer.concat(partial, partialBytes)
      partial = []
      partialBytes = 0
    }
    let end = 0
    let frames = 0
    missingBytes = LENGTH_BYTES
    while (bytes.length - end >= LENGTH_BYTES) {
      const frameBytes = LENGTH_BYTES + bytes.readInt32BE(end)
      missingBytes = frameBytes
      if (bytes.length - end < frameBytes) break
      end += frameBytes
      frames += 1
      missingBytes = LENGTH_BYTES
    }
    if (end < bytes.length) {
      partial = [bytes.subarray(end)]
      partialBytes = bytes.length - end
    }
    if (frames > 0) take(bytes.subarray(0, end), frames)
  })
}

function listen(onConnection: (socket: net.Socket) => void): void {
  const server = net.createServer({ noDelay: true }, socket => {
    // A load that ends resets its connections.
    socket.on('error', () => socket.destroy())
    onConnection(socket)
  })
  server.listen(0, '127.0.0.1', () => {
    process.send!({ port: (server.address() as net.AddressInfo).port })
  })
}

function follower(path: string, ring: boolean): void {
  let leader: net.Socket
  const disk = new Disk(path, ring, blocks => {
    const answer = Buffer.allocUnsafe(LENGTH_BYTES)
    answer.writeInt32BE(blocks)
    leader.write(answer)
  })
  listen(socket => {
    leader = socket
    // The block comes as one frame around its frames.
    onFrames(socket, (run, blocks) => {
      let at = 0
      for (let i = 0; i < blocks; i += 1) {
        const end = at + LENGTH_BYTES + run.readInt32BE(at)
        disk.write(run.subarray(at + LENGTH_BYTES, end))
        at = end
      }
    })
  })
}

class Leader {
  readonly #disk: Disk
  readonly #followers: net.Socket[] = []
  /** Blocks that are not answered yet, the oldest first, and the number of the first of them. */
  #open: Block[] = []
  #firstOpen = 0
  #turnRuns: Buffer[] = []
  #turnBytes = 0
  #turnAskers = new Map<net.Socket, number>()

  constructor(path: string, ring: boolean, followerPorts: readonly number[]) {
    let ownWritten = 0
    this.#disk = new Disk(path, ring, blocks => {
      this.#count(ownWritten, blocks)
      ownWritten += blocks
    })
    for (const port of followerPorts) {
      const socket = net.connect({ host: '127.0.0.1', port, noDelay: true })
      this.#followers.push(socket)
      this.#countAnswers(socket)
    }
    listen(socket => {
      onFrames(socket, (run, frames) => this.#take(socket, run, frames))
    })
  }

  #take(asker: net.Socket, run: Buffer, frames: number): void {
    if (this.#turnBytes === 0) setImmediate(() => this.#endTurn())
    this.#turnRuns.push(run)
    this.#turnBytes += run.length
    this.#turnAskers.set(asker, (this.#turnAskers.get(asker) ?? 0) + frames)
  }

  #endTurn(): void {
    const framed = Buffer.allocUnsafe(LENGTH_BYTES + this.#turnBytes)
    framed.writeInt32BE(this.#turnBytes)
    let at = LENGTH_BYTES
    for (const run of this.#turnRuns) at += run.copy(framed, at)
    const bytes = framed.subarray(LENGTH_BYTES)
    this.#open.push({ bytes, written: 0, askers: this.#turnAskers })
    this.#turnRuns = []
    this.#turnBytes = 0
    this.#turnAskers = new Map()
    for (const socket of this.#followers) socket.write(framed)
    this.#disk.write(bytes)
  }

  #countAnswers(socket: net.Socket): void {
    let written = 0
    let rest: Buffer = Buffer.alloc(0)
    socket.on('data', chunk => {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
      let at = 0
      for (; bytes.length - at >= LENGTH_BYTES; at += LENGTH_BYTES) {
        const blocks = bytes.readInt32BE(at)
        this.#count(written, blocks)
        written += blocks
      }
      rest = bytes.subarray(at)
    })
  }

  /** One node has written `blocks` more, from block number `first` on. */
  #count(first: number, blocks: number): void {
    for (let number = first; number < first + blocks; number += 1) {
      const block = this.#open[number - this.#firstOpen]
      // The slowest node's word comes after the answer.
      if (block !== undefined) block.written += 1
    }
    let answered = 0
    for (; (this.#open[answered]?.written ?? 0) >= QUORUM; answered += 1) {
      for (const [asker, frames] of this.#open[answered]!.askers) asker.write(answers(frames))
    }
    this.#open.splice(0, answered)
    this.#firstOpen += answered
  }
}

function answers(frames: number): Buffer {
  const bytes = Buffer.alloc(frames * (LENGTH_BYTES + ANSWER_BYTES))
  for (let at = 0; at < bytes.length; at += LENGTH_BYTES + ANSWER_BYTES) {
    bytes.writeInt32BE(ANSWER_BYTES, at)
  }
  return bytes
}

const [role, space, path = ''] = process.argv.slice(2)
process.once('disconnect', () => process.exit(0))
if (role === 'leader') {
  process.once('message', (told: { followers: number[] }) => {
    new Leader(path, space === 'warm', told.followers)
  })
} else {
  follower(path, space === 'warm')
}
