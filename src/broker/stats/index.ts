export { BrokerStats, StatName } from './brokerStats.ts'
export type { Span, StatItem } from './item.ts'
