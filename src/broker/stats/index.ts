export { BrokerStats, StatName } from './brokerStats.ts'
export { RuntimeRates } from './rates.ts'
