export { BrokerStats, StatName } from './brokerStats.ts'
export { RuntimeRates } from './rates.ts'
export { storedBytes } from './storedBytes.ts'
