import { endOf, type TailCache } from './tailCache.ts'
import type { Fault } from './types.ts'

/**
 * The fault with the end of the entry before it, as far as that is known: of every fault above the commit index it is, unless
 * the entry before has lost its header too. Without it nobody could say where the log ends once the fault is cut (R-D6w).
 */
export function withPreviousEnd(
  fault: Fault,
  tail: TailCache,
  faults: ReadonlyMap<number, Fault>
): Fault {
  const before = fault.index - 1
  if (fault.previousEnd !== undefined || !tail.knows(before)) return fault
  if (faults.get(before)?.term === null) return fault
  return { ...fault, previousEnd: endOf(tail.meta(before)) }
}
