import { ReusedBlocks } from '../../src/platform/index.ts'

const SPOILT = 0xdb
const TELLING = Buffer.alloc(64, SPOILT)

/** Small ones, soon full, in which nothing is left when nobody holds them any more: who still looks at them is found out. */
export function spoiltBlocks(): ReusedBlocks {
  return new ReusedBlocks(20 * 1024, memory => memory.fill(SPOILT))
}

/** Whether part of it comes from a block that nobody held any more. */
export function isSpoilt(bytes: Buffer): boolean {
  return bytes.includes(TELLING)
}
