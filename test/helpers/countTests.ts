import { readFileSync } from 'node:fs'
import process from 'node:process'

/** Counts the assertions of a TAP report, of subtests too, and says so as `N passed, N failed`. */
const report = readFileSync(process.argv[2]!, 'utf8')
let passed = 0
let failed = 0
const lines = report.split('\n')
for (const [at, line] of lines.entries()) {
  const match = /^(\s*)(not )?ok \d+/.exec(line)
  if (match === null || /# (SKIP|TODO)/i.test(line)) continue
  // The line that sums up a subtest follows the subtest's plan: its parts are counted already.
  if (line.trimEnd().endsWith('{') || isSummary(lines, at, match[1]!.length)) continue
  if (match[2] === undefined) passed += 1
  else failed += 1
}
console.log(`# tests ${passed + failed}, pass ${passed}, fail ${failed}`)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 && passed > 0 ? 0 : 1

/** Whether the line at `at` closes a subtest, which stands above it with a deeper indent. */
function isSummary(all: readonly string[], at: number, indent: number): boolean {
  for (let above = at - 1; above >= 0; above -= 1) {
    const text = all[above]!
    if (text.trim() === '') continue
    return text.search(/\S/) > indent && /^\s*(# |1\.\.\d|\.\.\.|ok|not ok)/.test(text)
  }
  return false
}
