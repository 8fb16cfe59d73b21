import { InternTable } from './internTable.ts'

/** Names of topics, groups and header fields, shared by all hot headers. */
export const names = new InternTable(4096)
