import { PUT_LATENCY_BUCKETS } from '../../../store/index.ts'

/** Ends of the buckets, ms; the last one has none. */
const bucketEndsMs = [1, 10, 50, 100, 200, 500, 1_000, 2_000, 3_000, 4_000, 5_000, 10_000]

/** `[<=0ms]:12 [0~10ms]:3 … [10s~]:0 `, all 13 of them (mqadmin.md 8). */
export function distributionText(buckets: Float64Array): string {
  let text = ''
  for (const [i, label] of PUT_LATENCY_BUCKETS.entries()) text += `[${label}]:${buckets[i] ?? 0} `
  return text
}

/** The latency in ms that `share` (0…1) of the sends do not exceed, taken as even within a bucket; 0 when there were none. */
export function latencyAt(share: number, buckets: Float64Array, longestMs: number): number {
  let total = 0
  for (const count of buckets) total += count
  if (total === 0) return 0
  const wanted = total * share
  let before = 0
  for (const [i, count] of buckets.entries()) {
    if (count > 0 && before + count >= wanted) {
      const startMs = i === 0 ? 0 : bucketEndsMs[i - 1]!
      const endMs = Math.max(startMs, Math.min(bucketEndsMs[i] ?? longestMs, longestMs))
      return startMs + ((endMs - startMs) * (wanted - before)) / count
    }
    before += count
  }
  return longestMs
}
