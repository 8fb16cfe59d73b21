import { ReusedBlocks } from '../../src/platform/index.ts'

/** Small ones, soon full, in which nothing is left when nobody holds them any more: who still looks at them is found out. */
export function spoiltBlocks(): ReusedBlocks {
  return new ReusedBlocks(64 * 1024, memory => memory.fill(0xdb))
}
