import { randomBytes } from 'node:crypto'
import type { Random } from './random.ts'

/** Chance of the operating system for bytes, the engine's own for what only spreads load. */
export const realRandom: Random = {
  next: () => Math.random(),
  below: limit => Math.floor(Math.random() * limit),
  bytes: length => randomBytes(length)
}
