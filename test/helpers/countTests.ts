import { readFileSync } from 'node:fs'
import process from 'node:process'

/**
 * Adds up TAP reports and says how many tests passed and failed, in two forms: `# tests N, pass N, fail N` and `N passed, N failed`.
 * A report of tap ends with its own sum, which also counts files that ended early; of any other the lines without indent count.
 */
let passed = 0
let failed = 0
for (const file of process.argv.slice(2)) {
  const counts = countReport(readFileSync(file, 'utf8'))
  passed += counts.passed
  failed += counts.failed
}
console.log(`# tests ${passed + failed}, pass ${passed}, fail ${failed}`)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 && passed > 0 ? 0 : 1

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
