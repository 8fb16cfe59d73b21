import t from 'tap'
import { Coverage, Simulation, USUAL_STEPS } from './simulate.ts'

/**
 * Random schedules against the bare cores. `RAFT_CORE_SEED=n` replays one and prints its last effects; `RAFT_CORE_RUNS`
 * and `RAFT_CORE_STEPS` ask for more.
 */
const runs = Number(process.env['RAFT_CORE_RUNS'] ?? 1500)
const steps = Number(process.env['RAFT_CORE_STEPS'] ?? USUAL_STEPS)
const replay = process.env['RAFT_CORE_SEED']

/** Seconds of work; a machine that does much else gives it a small share. */
t.setTimeout(600_000)

t.test('no schedule of faults breaks an invariant, and health brings progress back', async t => {
  const coverage = new Coverage()
  const first = replay === undefined ? 1 : Number(replay)
  const count = replay === undefined ? runs : 1
  for (let seed = first; seed < first + count; seed++) {
    const simulation = new Simulation({ seed, steps, traced: replay !== undefined }, coverage)
    try {
      simulation.run()
    } catch (error) {
      if (replay !== undefined) console.error(simulation.trace.slice(-400).join('\n'))
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
      t.fail(
        `seed ${seed}: ${text}\nagain: RAFT_CORE_SEED=${seed} node build/test/raft/core/simulation.test.js`
      )
      return
    }
  }
  t.pass(`seeds ${first} to ${first + count - 1}`)
  t.comment(
    [...coverage.counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([what, n]) => `${what}: ${n}`)
  )
  if (replay !== undefined || runs < 1000) return
  const seen = (what: string): number =>
    [...coverage.counts].reduce((sum, [name, n]) => (name.startsWith(what) ? sum + n : sum), 0)
  for (const what of [
    'calm',
    'change done',
    'change isLeader',
    'change pending',
    'committed',
    'cut',
    'deposed leader read',
    'fault add leader',
    'fault damage',
    'fault isolate leader',
    'fault kill leader',
    'fault powerLoss leader',
    'fault remove leader',
    'fault stale',
    'fault storageFailed leader',
    'fault trim',
    'fault wipe leader',
    'first start',
    'switchLog',
    'power loss of all',
    'read answered',
    'readEntries',
    'rewrite',
    'role leader',
    'start damaged',
    'start with headers lost in a row',
    'start recovering',
    'transfer true',
    'unsent entry damaged',
    'whole'
  ])
    t.ok(seen(what) >= 5, `seen often enough to mean something: ${what}, ${seen(what)} times`)
})
