import { type Frame, FrameReader } from '../protocol/index.ts'

/** Bytes received by one connection and not yet handled: frames come out one at a time, so that reading can be held between any two. */
export class InputQueue {
  readonly #reader: FrameReader
  /** Chunks behind the one that the reader has. */
  #chunks: Buffer[] = []
  #chunksBytes = 0
  /** The reader's chunk is memory of somebody else. */
  #borrows = false

  constructor(frameBytesMax: number) {
    this.#reader = new FrameReader(frameBytesMax)
  }

  get pendingBytes(): number {
    return this.#reader.pendingBytes + this.#chunksBytes
  }

  /** The chunk is read until `keep` is called, and not after. */
  push(chunk: Buffer): void {
    if (this.#reader.hasRest || this.#chunks.length > 0) {
      this.#chunks.push(Buffer.from(chunk))
      this.#chunksBytes += chunk.length
      return
    }
    this.#reader.push(chunk)
    this.#borrows = true
  }

  /** Copies what was not taken: its memory is about to be used again. */
  keep(): void {
    if (!this.#borrows) return
    this.#borrows = false
    this.#reader.keep()
  }

  /** null: no whole frame is here. Throws ProtocolError when the stream is none of frames. */
  next(): Frame | null {
    for (;;) {
      const frame = this.#reader.next()
      if (frame !== null) return frame
      const chunk = this.#chunks.shift()
      if (chunk === undefined) return null
      this.#chunksBytes -= chunk.length
      this.#reader.push(chunk)
    }
  }

  discard(): void {
    this.#chunks = []
    this.#chunksBytes = 0
  }
}
