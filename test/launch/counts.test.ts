import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import t, { type Test } from 'tap'
import { type Ended, root, runProgram } from './programs.ts'

/** What the last lines of scripts/test.sh and .ci/run are made of. */
function count(t: Test, ...reports: string[]): Promise<Ended> {
  const folder = t.testdir()
  const files = reports.map((report, i) => {
    const file = join(folder, `${i}.tap`)
    writeFileSync(file, report)
    return file
  })
  return runProgram(t, process.execPath, [join(root, 'build/test/helpers/countTests.js'), ...files])
}

t.test("tap's own sum counts, with files that ended early", async t => {
  const report = `TAP version 14
1..2
# Subtest: a.test.js
    ok 1 - one
    not ok 2 - two
    1..2
not ok 1 - a.test.js
# Subtest: b.test.js
    1..0 # no tests found
not ok 2 - b.test.js
# { total: 3, pass: 1, fail: 2 }
`
  const { status, stdout } = await count(t, report)
  t.equal(
    stdout,
    '    not ok 2 - two\nnot ok 1 - a.test.js\nnot ok 2 - b.test.js\n# tests 3, pass 1, fail 2\n1 passed, 2 failed\n'
  )
  t.equal(status, 1)
})

t.test('a failed test is told with what it says of itself', async t => {
  const report = `    not ok 1 - one is two
      ---
      diff: |
        -2
        +1
      ...
    1..1
not ok 1 - a.test.js
# { total: 1, pass: 0, fail: 1 }
`
  const { stdout } = await count(t, report)
  t.match(
    stdout,
    /^ {4}not ok 1 - one is two\n {6}---\n[\s\S]*\+1\n {6}\.\.\.\nnot ok 1 - a\.test\.js\n# tests/
  )
})

t.test('several reports are added up; what was skipped is no test', async t => {
  const { status, stdout } = await count(
    t,
    'ok 1 - format and lint\n',
    'ok 1 - a # 0.9s\nok 2 - b # SKIP for later\n# not ok is only said here\nok 3\n',
    '# { total: 5, pass: 4, skip: 1 }\n'
  )
  t.equal(stdout, '# tests 7, pass 7, fail 0\n7 passed, 0 failed\n')
  t.equal(status, 0)
})

t.test('a failure of any report, and no test at all, is a failure', async t => {
  const failing = await count(t, 'ok 1 - a\nnot ok 2 - b\n', '# { total: 4, pass: 4 }\n')
  t.equal(failing.stdout, 'not ok 2 - b\n# tests 6, pass 5, fail 1\n5 passed, 1 failed\n')
  t.equal(failing.status, 1)
  const none = await count(t, 'TAP version 14\n')
  t.equal(none.stdout, '# tests 0, pass 0, fail 0\n0 passed, 0 failed\n')
  t.equal(none.status, 1)
})
