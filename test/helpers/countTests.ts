import { readFileSync } from 'node:fs'
import process from 'node:process'

/**
 * Adds up TAP reports and says how many tests passed and failed, in two forms: `# tests N, pass N, fail N` and `N passed, N failed`.
 * A report of tap ends with its own sum, which also counts files that ended early; of any other the lines without indent count.
 * What failed is named right before the sums: CI keeps the end of a long output, and the reporter's word is far above.
 */
let passed = 0
let failed = 0
for (const file of process.argv.slice(2)) {
  const report = readFileSync(file, 'utf8')
  for (const line of failures(report)) console.log(line)
  const counts = countReport(report)
  passed += counts.passed
  failed += counts.failed
}
console.log(`# tests ${passed + failed}, pass ${passed}, fail ${failed}`)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 && passed > 0 ? 0 : 1

/** Of each failed test and of each test around it: its line, and for the innermost what it says of itself, at most 40 lines. */
function failures(report: string): string[] {
  const lines = report.split('\n')
  const told: string[] = []
  for (let i = 0; i < lines.length; i++) {
    if (!/^ *not ok\b/.test(lines[i] ?? '')) continue
    told.push(lines[i] ?? '')
    const end = lines.findIndex((line, at) => at > i && /^ *\.\.\. *$/.test(line))
    if (lines[i + 1]?.trim() === '---' && end > 0)
      told.push(...lines.slice(i + 1, Math.min(end + 1, i + 41)))
  }
  return told
}

function countReport(report: string): { passed: number; failed: number } {
  const sum = /^# \{ total: .*\}$/gm.exec(report)?.[0]
  if (sum !== undefined) {
    return {
      passed: Number(/pass: (\d+)/.exec(sum)?.[1] ?? 0),
      failed: Number(/fail: (\d+)/.exec(sum)?.[1] ?? 0)
    }
  }
  const results = report
    .split('\n')
    .filter(line => /^(not )?ok\b/.test(line) && !/# (SKIP|TODO)\b/i.test(line))
  const failures = results.filter(line => line.startsWith('not ')).length
  return { passed: results.length - failures, failed: failures }
}
