import process from 'node:process'
import t from 'tap'
import { FuzzRun } from './fuzzRun.ts'
import { judge } from './judge.ts'

/** A fixed share of the tests' time, the same requests each time; `npm run fuzz` draws others, for as long as one likes. */
const SECONDS = 20
const SEED = '46'

t.test(
  `${SECONDS} s of hostile requests and noise: all answered or dropped, and a well-behaved client does not notice`,
  { timeout: (SECONDS + 70) * 1_000 },
  async t => {
    const seed = Number(process.env['FUZZ_SEED'] ?? SEED)
    t.comment(`seed ${seed}: FUZZ_SEED=${seed} or npm run fuzz -- --members 1 --seed ${seed}`)
    const run = new FuzzRun({ seconds: SECONDS, seed, members: 1, directory: t.testdir() })
    const report = await run.run()
    const { findings, health } = report
    t.comment(
      `${findings.requests} requests, ${findings.answers} answers, ${findings.noises} noises; ${health.sent} messages sent and read beside them`
    )
    t.strictSame(judge(report), [])
  }
)
