import { type Outage, quantile } from './availability.ts'
import type { Episode } from './episode.ts'

export interface FaultRow {
  fault: string
  count: number
  p50Ms: number
  p99Ms: number
  mostMs: number
  elections: number
}

export interface Totals {
  faults: number
  sent: number
  acknowledged: number
  lost: number
  duplicates: number
  delivered: number
}

/** The longest time without an acknowledgement, by kind of fault. */
export function faultRows(episodes: readonly Episode[]): FaultRow[] {
  const byFault = new Map<string, Outage[]>()
  for (const outage of episodes.flatMap(episode => episode.judgement.outages)) {
    byFault.set(outage.fault, [...(byFault.get(outage.fault) ?? []), outage])
  }
  return [...byFault]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([fault, all]) => {
      const gaps = all.map(outage => outage.gapMs)
      return {
        fault,
        count: all.length,
        p50Ms: quantile(gaps, 0.5),
        p99Ms: quantile(gaps, 0.99),
        mostMs: Math.max(...gaps),
        elections: all.reduce((sum, outage) => sum + outage.elections, 0)
      }
    })
}

export function totals(episodes: readonly Episode[]): Totals {
  const sum = { faults: 0, sent: 0, acknowledged: 0, lost: 0, duplicates: 0, delivered: 0 }
  for (const { judgement } of episodes) {
    sum.faults += judgement.outages.length
    sum.sent += judgement.findings.sent
    sum.acknowledged += judgement.findings.acknowledged
    sum.lost += judgement.findings.lost
    sum.duplicates += judgement.findings.duplicates
    sum.delivered += judgement.findings.delivered
  }
  return sum
}

/** A table in Markdown and the sums. */
export function summaryLines(episodes: readonly Episode[]): string[] {
  const { faults, sent, acknowledged, lost, duplicates, delivered } = totals(episodes)
  return [
    '',
    '| fault | times | elections | without an acknowledgement: p50 | p99 | most |',
    '|---|---|---|---|---|---|',
    ...faultRows(episodes).map(
      ({ fault, count, elections, p50Ms, p99Ms, mostMs }) =>
        `| ${fault} | ${count} | ${elections} | ${seconds(p50Ms)} | ${seconds(p99Ms)} | ${seconds(mostMs)} |`
    ),
    '',
    `${faults} faults in ${episodes.length} clusters, ${sent} sends, ${acknowledged} acknowledged, ${lost} lost or changed, ` +
      `${duplicates} stored twice by a repeated send, ${delivered} delivered`
  ]
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`
}
