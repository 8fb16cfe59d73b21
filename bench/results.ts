import { writeFile } from 'node:fs/promises'
import type { Case } from './cases.ts'
import { medianOf, type Series } from './figures.ts'
import type { Load, Options } from './options.ts'
import type { Start } from './start.ts'
import type { Report } from './window.ts'

/** All systems under one load. */
export interface Row {
  load: Load
  series: Series[]
}

/** What a run has found so far. */
export interface Result {
  machine: string
  /** Of the whole machine before the start. */
  loadAverage: number
  options: Options
  rows: Row[]
  cases: Case[]
  starts: Start[]
}

/** The same in the file of `--json`. */
export interface Saved extends Omit<Result, 'rows' | 'cases'> {
  rows: { load: Load; systems: SavedSystem[] }[]
  /** `base` is the name of the case of the same row that it is compared with. */
  cases: (Omit<Case, 'base'> & { base: string | null })[]
}

export interface SavedSystem {
  system: string
  /** Median of the rounds. */
  messagesPerSecond: number
  reports: Report[]
}

export function saved({ rows, cases, ...rest }: Result): Saved {
  return {
    ...rest,
    rows: rows.map(({ load, series }) => ({
      load,
      systems: series.map(({ system, reports }) => ({
        system,
        messagesPerSecond: medianOf(reports, report => report.messagesPerSecond),
        reports
      }))
    })),
    cases: cases.map(({ base, ...each }) => ({ ...each, base: base?.name ?? null }))
  }
}

/** Writes the file of `--json` anew, after each part of a run: what was measured is not lost with what fails later. */
export async function save(result: Result): Promise<void> {
  const { jsonFile } = result.options
  if (jsonFile !== null) await writeFile(jsonFile, `${JSON.stringify(saved(result), null, 1)}\n`)
}
