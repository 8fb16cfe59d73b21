import type { PropertyScan } from './propertyScan.ts'

/**
 * What a condition comes to: SQL's three values, and what the original answers with an exception, which ends the whole
 * evaluation without a match (broker.md 4.4).
 */
export const Outcome = { false: 0, true: 1, null: 2, failed: 3 } as const
export type Outcome = (typeof Outcome)[keyof typeof Outcome]

/** A compiled condition. */
export type Test = (scan: PropertyScan) => Outcome

export function outcomeOf(value: boolean): Outcome {
  return value ? Outcome.true : Outcome.false
}
