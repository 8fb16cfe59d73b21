import { type Blocks, collectedBlocks } from '../platform/index.ts'

/** Composed output is gathered in chunks of this size. */
export const OUTPUT_CHUNK_BYTES = 65_536
/**
 * A connection that had no more to say in its last turn begins with a chunk of this size: two thousand producers that are answered in one turn
 * would take 128 MB of large ones.
 */
export const SMALL_CHUNK_BYTES = 4_096
/** 16 MiB and 8 MiB are kept for the next turn. */
const LARGE_CHUNKS_MAX = 256
const SMALL_CHUNKS_MAX = 2_048
/** Views up to this size are copied: one more buffer in a socket write costs more than the copy. */
const COPY_BYTES_MAX = 2_048
const EMPTY = Buffer.alloc(0)

/** Chunks for all connections of a server or client. A chunk comes back only when the operating system has taken all of it. */
export class ChunkPool {
  readonly #large: Buffer[] = []
  readonly #small: Buffer[] = []

  take(bytes: typeof OUTPUT_CHUNK_BYTES | typeof SMALL_CHUNK_BYTES): Buffer {
    const free = bytes === OUTPUT_CHUNK_BYTES ? this.#large : this.#small
    return free.pop() ?? Buffer.allocUnsafeSlow(bytes)
  }

  give(chunk: Buffer): void {
    if (chunk.length === OUTPUT_CHUNK_BYTES) {
      if (this.#large.length < LARGE_CHUNKS_MAX) this.#large.push(chunk)
    } else if (this.#small.length < SMALL_CHUNKS_MAX) this.#small.push(chunk)
  }
}

/**
 * What one connection has to say in this turn, in order: frames composed in place, and views of buffers of others.
 *
 *   chunk  | handed to the socket before | this turn's open piece | free |
 *          0                        #pieceStart                 #fill   its length
 *
 * Bytes left of `#fill` are never written again until `released()` says that the socket is empty.
 */
export class OutputBuffer {
  /** Bytes not yet handed to the socket. */
  pendingBytes = 0

  readonly #pool: ChunkPool
  readonly #reservation: { buffer: Buffer; offset: number }
  #reservedBytes = 0
  #chunk: Buffer | null = null
  #pieceStart = 0
  #fill = 0
  /** The last turn had more than a small chunk takes. */
  #isBusy = false
  #parts: Buffer[] = []
  /** Chunks that are full and may still be in the socket's hands. */
  #full: Buffer[] = []
  /** Views that may still be in the socket's hands, and where they are held. */
  #lent: { readonly view: Buffer; readonly blocks: Blocks }[] = []

  constructor(pool: ChunkPool) {
    this.#pool = pool
    this.#reservation = { buffer: EMPTY, offset: 0 }
  }

  /** Memory of chunks held, whether used or not. */
  get heldBytes(): number {
    let bytes = this.#chunk?.length ?? 0
    for (const chunk of this.#full) bytes += chunk.length
    return bytes
  }

  reserve(bytesMax: number): { buffer: Buffer; offset: number } {
    const reservation = this.#reservation
    this.#reservedBytes = bytesMax
    if (bytesMax > OUTPUT_CHUNK_BYTES) {
      reservation.buffer = Buffer.allocUnsafeSlow(bytesMax)
      reservation.offset = 0
      return reservation
    }
    if (this.#chunk === null || this.#fill + bytesMax > this.#chunk.length)
      this.#nextChunk(bytesMax)
    reservation.buffer = this.#chunk!
    reservation.offset = this.#fill
    return reservation
  }

  commit(bytes: number): void {
    const { buffer } = this.#reservation
    if (bytes < 0 || bytes > this.#reservedBytes) {
      throw new Error(`${bytes} bytes committed of ${this.#reservedBytes} reserved`)
    }
    this.#reservedBytes = 0
    if (buffer === this.#chunk) this.#fill += bytes
    else {
      this.#sealPiece()
      this.#parts.push(buffer.subarray(0, bytes))
    }
    this.pendingBytes += bytes
  }

  append(view: Buffer, blocks: Blocks): void {
    if (view.length <= COPY_BYTES_MAX) {
      const { buffer, offset } = this.reserve(view.length)
      view.copy(buffer, offset)
      this.commit(view.length)
      blocks.release(view)
      return
    }
    this.#sealPiece()
    this.#parts.push(view)
    if (blocks !== collectedBlocks) this.#lent.push({ view, blocks })
    this.pendingBytes += view.length
  }

  /** Everything since the last call, for the socket. */
  take(): Buffer[] {
    this.#sealPiece()
    const parts = this.#parts
    this.#parts = []
    this.#isBusy = this.pendingBytes > SMALL_CHUNK_BYTES
    this.pendingBytes = 0
    return parts
  }

  /** The socket has nothing left of what was taken: all chunks without pending bytes may be used again, and what was lent goes back. */
  released(): void {
    if (this.pendingBytes > 0) return
    for (const { view, blocks } of this.#lent) blocks.release(view)
    this.#lent.length = 0
    for (const chunk of this.#full) this.#pool.give(chunk)
    this.#full.length = 0
    if (this.#chunk !== null) this.#pool.give(this.#chunk)
    this.#forgetChunk()
  }

  /** The connection is gone. Chunks that a dying socket may still read from are left to the garbage collector. */
  discard(): void {
    this.#parts = []
    this.#full = []
    this.#lent = []
    this.#forgetChunk()
    this.pendingBytes = 0
  }

  /** The last reservation must not hold it either: ten thousand idle connections would hold a chunk each. */
  #forgetChunk(): void {
    this.#chunk = null
    this.#reservation.buffer = EMPTY
    this.#pieceStart = 0
    this.#fill = 0
  }

  #nextChunk(bytesMax: number): void {
    this.#sealPiece()
    if (this.#chunk !== null) this.#full.push(this.#chunk)
    const isSmall = this.#chunk === null && !this.#isBusy && bytesMax <= SMALL_CHUNK_BYTES
    this.#chunk = this.#pool.take(isSmall ? SMALL_CHUNK_BYTES : OUTPUT_CHUNK_BYTES)
    this.#pieceStart = 0
    this.#fill = 0
  }

  #sealPiece(): void {
    if (this.#fill === this.#pieceStart) return
    this.#parts.push(this.#chunk!.subarray(this.#pieceStart, this.#fill))
    this.#pieceStart = this.#fill
  }
}
