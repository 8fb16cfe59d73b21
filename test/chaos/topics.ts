import { createRealPlatform } from '../../src/platform/index.ts'
import type { Rules } from './check.ts'

/** One sender a queue, each waiting for its answers. */
export const ORDERED = 'Ordered'
/** One sender over all queues with many sends in flight. */
export const LOOSE = 'Loose'
export const QUEUES = 4
export const LANE = 'lane'
export const LOOSE_SENDER = 'loose'

export const ORDERLY_GROUP = 'orderly'
export const CONCURRENT_GROUP = 'concurrent'
export const REGISTER_GROUP = 'register'

/** What the history of our load must obey. */
export const RULES: Rules = {
  inOrder: sender => sender.startsWith(LANE),
  groups: new Map([
    [ORDERLY_GROUP, [ORDERED]],
    [CONCURRENT_GROUP, [ORDERED, LOOSE]]
  ]),
  orderlyGroups: new Set([ORDERLY_GROUP])
}

export const platform = createRealPlatform()

export function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}
