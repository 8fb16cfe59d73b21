/**
 * Large pieces of memory that are used again. What the log's tail keeps of received and proposed entries is most of the memory that
 * a broker takes, and V8 collects its whole heap each time that 64 MB of new buffers were taken: twice a second under load.
 *
 * A block is in use while somebody holds it. Who does not say so may look at views of it only until the present call returns. A view
 * that is given away without an end in sight is kept: its block is left to the garbage collector, which is never wrong.
 */
export interface Blocks {
  /** Size of one that is read into; of this size or some times as large all are to be. */
  readonly blockBytes: number
  /** A block of exactly so many bytes, held once. What is in it is anything. */
  take(bytes: number): Buffer
  /** Holds the block that `view` lies in. Memory that is no block's is let alone, here and below. */
  hold(view: Buffer): void
  /** Takes back one hold. After the last one the block is given out again. */
  release(view: Buffer): void
  /** The block that `view` lies in is never given out again, whoever holds or releases it. */
  keep(view: Buffer): void
}

const BLOCK_BYTES = 1024 * 1024
/** Beyond it, blocks that nobody holds are left to the garbage collector. */
const FREE_BYTES_MAX = 32 * 1024 * 1024

interface Block {
  readonly memory: Buffer
  holds: number
}

/** `freed` sees each block that nobody holds any more. */
export class ReusedBlocks implements Blocks {
  readonly blockBytes: number
  readonly #used = new WeakMap<ArrayBufferLike, Block>()
  readonly #free: Block[] = []
  #freeBytes = 0
  readonly #freed: (memory: Buffer) => void

  constructor(blockBytes: number = BLOCK_BYTES, freed: (memory: Buffer) => void = () => {}) {
    this.blockBytes = blockBytes
    this.#freed = freed
  }

  /** Of blocks that are waiting to be given out. */
  get freeBytes(): number {
    return this.#freeBytes
  }

  take(bytes: number): Buffer {
    const at = this.#free.findLastIndex(({ memory }) => memory.length === bytes)
    const found = this.#free[at]
    if (found === undefined) {
      const memory = Buffer.allocUnsafeSlow(bytes)
      this.#used.set(memory.buffer, { memory, holds: 1 })
      return memory
    }
    this.#free.splice(at, 1)
    this.#freeBytes -= bytes
    found.holds = 1
    this.#used.set(found.memory.buffer, found)
    return found.memory
  }

  hold(view: Buffer): void {
    const block = this.#used.get(view.buffer)
    if (block !== undefined) block.holds += 1
  }

  release(view: Buffer): void {
    const block = this.#used.get(view.buffer)
    if (block === undefined) return
    block.holds -= 1
    if (block.holds > 0) return
    const { memory } = block
    this.#used.delete(memory.buffer)
    this.#freed(memory)
    if (this.#freeBytes + memory.length > FREE_BYTES_MAX) return
    this.#free.push(block)
    this.#freeBytes += memory.length
  }

  keep(view: Buffer): void {
    this.#used.delete(view.buffer)
  }
}

/** All memory is left to the garbage collector. */
export const collectedBlocks: Blocks = {
  blockBytes: BLOCK_BYTES,
  take: bytes => Buffer.allocUnsafeSlow(bytes),
  hold: () => {},
  release: () => {},
  keep: () => {}
}
