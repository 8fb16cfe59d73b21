import type { Handler } from '../dispatch/index.ts'

/** Topics, groups, statistics, queries and what is relayed to clients. */
export const adminHandlers: readonly Handler[] = []
