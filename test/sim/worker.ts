/**
 * Plays the seeds that its parent names, one after the other. What counts the rules begins before the program under test
 * is loaded: so that is loaded last.
 */
import process from 'node:process'
import type { Wanted } from './plan.ts'
import { RuleCounter } from './rules.ts'
import type { RunResult } from './run.ts'

export type Task =
  | { readonly depth: 'cluster'; readonly seed: number; readonly wanted: Wanted }
  | { readonly depth: 'core'; readonly seed: number; readonly count: number }
  /** What was counted since the last such question. */
  | { readonly depth: 'rules' }

export type Answer =
  | { readonly kind: 'cluster'; readonly result: RunResult }
  | {
      readonly kind: 'core'
      readonly runs: number
      readonly events: number
      readonly counts: Readonly<Record<string, number>>
      readonly failed: readonly { readonly seed: number; readonly violation: string }[]
    }
  | { readonly kind: 'rules'; readonly counts: Readonly<Record<string, number>> }

/** Lines of a failing run that its parent prints. */
const LINES_SHOWN = 200

const rules = process.env['COUNT_RULES'] === undefined ? null : new RuleCounter()
// Clients in trouble make errors all the time; a seed that fails is played again with its stacks.
Error.stackTraceLimit = 0
const { runSeed } = await import('./run.ts')
const { playCore, usualCore } = await import('./coreRun.ts')
const { Coverage } = await import('../raft/core/simulate.ts')

function answer(message: Answer): void {
  process.send!(message)
}

function playCores(seed: number, count: number): void {
  const coverage = new Coverage()
  const failed: { seed: number; violation: string }[] = []
  for (let at = seed; at < seed + count; at++) {
    const violation = playCore(at, coverage, usualCore)
    if (violation !== null) failed.push({ seed: at, violation })
  }
  const { events } = coverage
  answer({ kind: 'core', runs: count, events, counts: Object.fromEntries(coverage.counts), failed })
}

process.on('message', (task: Task) => {
  switch (task.depth) {
    case 'rules':
      answer({ kind: 'rules', counts: Object.fromEntries(rules?.take() ?? []) })
      return
    case 'core':
      playCores(task.seed, task.count)
      return
    case 'cluster':
      void runSeed(task.seed, undefined, undefined, task.wanted).then(result => {
        // The log of a run that held is nobody's business.
        const lines = result.violations.length === 0 ? [] : result.lines.slice(-LINES_SHOWN)
        answer({ kind: 'cluster', result: { ...result, lines } })
      })
  }
})
