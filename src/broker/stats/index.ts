export { BrokerStats, StatName } from './brokerStats.ts'
export type { Span, StatItem } from './item.ts'
export { type RateCounters, RuntimeRates } from './rates.ts'
