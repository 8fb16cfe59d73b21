export { FilterCache } from './filterCache.ts'
export { FilterSyntaxError } from './parser.ts'
export { RetryFilter } from './retryFilter.ts'
export { SqlFilter } from './sqlFilter.ts'

/** The one expression type beside tags. */
export const SQL92 = 'SQL92'
