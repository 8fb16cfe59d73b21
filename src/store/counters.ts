/**
 * Plain counters since the start; rates are made from samples of them by who shows them (broker.md 7.5).
 * Messages of all topics; latencies from `append` to `stored`, in the original's buckets.
 */
export class StoreCounters {
  putMessages = 0
  putBytes = 0
  putFailed = 0
  putRefused = 0
  /** Greatest latency, ms. */
  putLatencyMaxMs = 0
  putLatencySumMs = 0
  /** Sends by latency: see PUT_LATENCY_BUCKETS. */
  readonly putLatencyBuckets = new Float64Array(PUT_LATENCY_BUCKETS.length)
  /** Pulls that found something, that found nothing, and the messages they got. */
  getFound = 0
  getMissed = 0
  getMessages = 0
  getBytes = 0
  /** Pulls that had to read from the disk. */
  getFromDisk = 0
  appliedEntries = 0
  appliedCommands = 0
  readonly startedMonotonicMs: number

  constructor(startedMonotonicMs: number) {
    this.startedMonotonicMs = startedMonotonicMs
  }

  latency(ms: number, sends: number): void {
    this.putLatencySumMs += ms * sends
    if (ms > this.putLatencyMaxMs) this.putLatencyMaxMs = ms
    let bucket = 0
    while (bucket < PUT_LATENCY_LIMITS_MS.length && ms >= PUT_LATENCY_LIMITS_MS[bucket]!) bucket++
    this.putLatencyBuckets[bucket]! += sends
  }
}

const PUT_LATENCY_LIMITS_MS = [1, 10, 50, 100, 200, 500, 1000, 2000, 3000, 4000, 5000, 10_000]

/** Names as the original prints them in putMessageDistributeTime. */
export const PUT_LATENCY_BUCKETS = [
  '<=0ms',
  '0~10ms',
  '10~50ms',
  '50~100ms',
  '100~200ms',
  '200~500ms',
  '500ms~1s',
  '1~2s',
  '2~3s',
  '3~4s',
  '4~5s',
  '5~10s',
  '10s~'
] as const
