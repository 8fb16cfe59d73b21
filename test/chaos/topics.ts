import { createRealPlatform } from '../../src/platform/index.ts'
import type { Rules } from './check.ts'

/** One sender a queue, each waiting for its answers. */
export const ORDERED = 'Ordered'
/** One sender over all queues with many sends in flight. */
export const LOOSE = 'Loose'
/** Of the original's client, where it runs: one sender a queue. */
export const JAVA = 'Java'
/** Of sends that only ask whether one is taken. */
export const PROBE = 'Probe'
export const QUEUES = 4
export const LANE = 'lane'
export const LOOSE_SENDER = 'loose'
const JAVA_LANE = 'java'

export const ORDERLY_GROUP = 'orderly'
export const CONCURRENT_GROUP = 'concurrent'
export const JAVA_GROUP = 'java_orderly'
export const REGISTER_GROUP = 'register'

/** What the history of our load must obey. */
export const RULES: Rules = {
  inOrder: sender => sender.startsWith(LANE) || sender.startsWith(JAVA_LANE),
  groups: new Map([
    [ORDERLY_GROUP, [ORDERED]],
    [CONCURRENT_GROUP, [ORDERED, LOOSE]],
    [JAVA_GROUP, [JAVA]]
  ]),
  orderlyGroups: new Set([ORDERLY_GROUP, JAVA_GROUP])
}

export const platform = createRealPlatform()

export function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}
