/** LZ4 frames as RocketMQ's clients from 5.0 on may send them (`lz4_Frame_format.md`): magic, descriptor, blocks, end mark. */
const FRAME_MAGIC = 0x184d2204
const FLAG_BLOCK_CHECKSUM = 0x10
const FLAG_CONTENT_SIZE = 0x08
const FLAG_DICTIONARY = 0x01
const BLOCK_STORED = 0x80000000
const MATCH_BYTES_MIN = 4
const GROW_BYTES = 65_536

/** What a frame holds. Throws RangeError when it is broken, needs a dictionary or unpacks to more than `bytesMax`. Checksums are not looked at. */
export function decodeLz4Frame(frame: Buffer, bytesMax: number): Buffer {
  if (frame.readUInt32LE(0) !== FRAME_MAGIC) throw new RangeError('no LZ4 frame begins here')
  const flags = frame.readUInt8(4)
  if (flags >> 6 !== 1) throw new RangeError(`LZ4 frames of version ${flags >> 6} are not known`)
  if ((flags & FLAG_DICTIONARY) !== 0) throw new RangeError('the LZ4 frame needs a dictionary')
  let at = 7 + ((flags & FLAG_CONTENT_SIZE) === 0 ? 0 : 8)
  const out = new Output(Math.min(bytesMax, frame.length * 4 + GROW_BYTES), bytesMax)
  for (;;) {
    const word = frame.readUInt32LE(at)
    at += 4
    if (word === 0) return out.taken()
    const stored = word >= BLOCK_STORED
    const bytes = stored ? word - BLOCK_STORED : word
    if (at + bytes > frame.length) throw new RangeError('the LZ4 frame ends within a block')
    const block = frame.subarray(at, at + bytes)
    if (stored) out.literals(block, 0, bytes)
    else decodeBlock(block, out)
    at += bytes + ((flags & FLAG_BLOCK_CHECKSUM) === 0 ? 0 : 4)
  }
}

/** Sequences of literals and matches; the last one has literals only. */
function decodeBlock(block: Buffer, out: Output): void {
  let at = 0
  const length = (nibble: number): number => {
    let sum = nibble
    if (nibble !== 15) return sum
    for (;;) {
      const more = block.readUInt8(at++)
      sum += more
      if (more !== 255) return sum
    }
  }
  while (at < block.length) {
    const token = block.readUInt8(at++)
    const literalBytes = length(token >> 4)
    if (at + literalBytes > block.length) throw new RangeError('the LZ4 block ends within literals')
    out.literals(block, at, literalBytes)
    at += literalBytes
    if (at === block.length) return
    const distance = block.readUInt16LE(at)
    at += 2
    out.match(distance, length(token & 15) + MATCH_BYTES_MIN)
  }
}

class Output {
  readonly #bytesMax: number
  #buffer: Buffer
  #length = 0

  constructor(bytes: number, bytesMax: number) {
    this.#buffer = Buffer.allocUnsafe(bytes)
    this.#bytesMax = bytesMax
  }

  literals(from: Buffer, at: number, bytes: number): void {
    this.#reserve(bytes)
    from.copy(this.#buffer, this.#length, at, at + bytes)
    this.#length += bytes
  }

  /** Bytes from `distance` before the end; they may run into those that are being written. */
  match(distance: number, bytes: number): void {
    if (distance === 0 || distance > this.#length) {
      throw new RangeError(`an LZ4 match ${distance} bytes back begins before the data`)
    }
    this.#reserve(bytes)
    const buffer = this.#buffer
    let to = this.#length
    if (distance >= bytes) buffer.copyWithin(to, to - distance, to - distance + bytes)
    else for (const end = to + bytes; to < end; to++) buffer[to] = buffer[to - distance]!
    this.#length += bytes
  }

  taken(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes
    if (needed <= this.#buffer.length) return
    if (needed > this.#bytesMax)
      throw new RangeError(`unpacked it has over ${this.#bytesMax} bytes`)
    const grown = Buffer.allocUnsafe(Math.min(this.#bytesMax, 2 * needed))
    this.#buffer.copy(grown, 0, 0, this.#length)
    this.#buffer = grown
  }
}
