import { type Keys, keysNotHonoured, keysWithoutEffect } from './keys.ts'

/** How brokers of 5.3 are watched (BrokerConfig). Here: mqadmin, the runtime table and the statistics. */
export const observationKeys = {
  ...keysNotHonoured('There is no exporter of metrics; see mqadmin brokerStatus and statsAll.', {
    metricsExporterType: 'DISABLE'
  }),
  ...keysWithoutEffect('Of metricsExporterType.', {
    metricsOtelCardinalityLimit: 50_000,
    metricsGrpcExporterTarget: '',
    metricsGrpcExporterHeader: '',
    metricGrpcExporterTimeOutInMills: 3_000,
    metricGrpcExporterIntervalInMills: 60_000,
    metricLoggingExporterIntervalInMills: 10_000,
    metricsPromExporterPort: 5_557,
    metricsPromExporterHost: '',
    metricsLabel: '',
    metricsInDelta: false,
    estimateAccumulation: true,
    transactionMetricFlushInterval: 3_000,
    enableNotifyBeforePopCalculateLag: true
  }),
  ...keysWithoutEffect('Billing of the original’s makers.', {
    commercialSizePerMsg: 4_096,
    accountStatsEnable: true,
    accountStatsPrintZeroValues: true
  }),
  ...keysWithoutEffect('Statistics have a limit of their own; see autoDeleteUnusedStats.', {
    maxStatsIdleTimeInMinutes: -1
  }),
  ...keysWithoutEffect('See mqadmin consumerConnection and producerConnection.', {
    printChannelGroups: false,
    printChannelGroupsMinNum: 5
  })
} as const satisfies Keys
