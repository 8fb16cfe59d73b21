import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import type { RaftNode } from '../../src/raft/index.ts'
import { Campaign } from './campaign.ts'
import { guardGlobals } from './guard.ts'
import { Judge } from './judge.ts'
import type { Machine } from './machine.ts'
import { MUTANTS } from './mutantList.ts'
import { NOTHING_WANTED, type Plan } from './plan.ts'
import { nameOf, placeTrouble, RULES } from './rules.ts'
import { runSeed } from './run.ts'

/** A machine that does much else gives this one little. */
t.setTimeout(600_000)

const SEEDS = 24
const SHARE_MS = 20_000
/** Of the simulation, for a run of 3 s whose consumers are not far behind at its end. */
const KEPT_UP_MS = 20_000
/** A short one. */
const TRACED_SEED = 5
/** With a good many faults. */
const SHORT_SEED = 10
/** With a client whose offset only grows. */
const OPERATED_SEED = 64

async function traceInOtherProcess(seed: number): Promise<string> {
  const command = ['build/test/sim/main.js', '--seed', String(seed), '--lines', '0']
  const { stdout } = await promisify(execFile)(process.execPath, command, {
    env: { ...process.env, TZ: 'UTC' }
  })
  return /traceHash: '(\w+)'/.exec(stdout)?.[1] ?? stdout
}

t.test('a seed gives the same run in each process, and another seed another one', async t => {
  const [one, two, other] = await Promise.all([
    traceInOtherProcess(TRACED_SEED),
    traceInOtherProcess(TRACED_SEED),
    traceInOtherProcess(TRACED_SEED + 1)
  ])
  t.match(one, /^[0-9a-f]{16}$/)
  t.equal(one, two)
  t.not(one, other)
})

t.test('every rule that is counted and every planted bug has its place in the program', async t => {
  for (const rule of RULES) t.equal(placeTrouble(rule), null, nameOf(rule))
  for (const { id, edits } of MUTANTS) {
    for (const { file, from } of edits) {
      const text = readFileSync(new URL(`../../src/${file}`, import.meta.url), 'utf8')
      t.equal(text.split(from).length - 1, 1, `${id}: ${from}`)
    }
  }
})

t.test('a seed makes a run that can be made short', async t => {
  const short = (plan: Plan): Plan => ({ ...plan, faultyMs: 3_000 })
  const whole = await runSeed(SHORT_SEED, short)
  const cut = { untilMs: null, faults: new Set(whole.happened), lanes: new Set(whole.lanes) }
  const again = await runSeed(SHORT_SEED, short, cut)
  t.equal(again.traceHash, whole.traceHash, 'all faults and lanes by name are the whole run')
  const less = await runSeed(TRACED_SEED, undefined, {
    ...cut,
    faults: new Set(),
    lanes: new Set()
  })
  t.strictSame([less.happened, less.acknowledged, less.violations], [[], 0, []])
})

t.test('a run without faults is calm', async t => {
  const result = await runSeed(1, plan => ({
    ...plan,
    faults: new Map(),
    faultyMs: 3_000,
    latencyMs: 0.2,
    syncMs: 1,
    pauseMs: 5
  }))
  t.strictSame(result.violations, [])
  t.equal(result.elections, 1, 'one leader all the time')
  t.equal(result.duplicates, 0)
  t.ok(result.acknowledged > 300, `${result.acknowledged} acknowledged`)
})

t.test('an orderly group that gives messages back keeps up with the senders', async t => {
  const result = await runSeed(1, plan => ({
    ...plan,
    faults: new Map(),
    faultyMs: 3_000,
    latencyMs: 0.2,
    syncMs: 1,
    pauseMs: 5,
    orderly: true,
    laterShare: 0.1
  }))
  t.strictSame(result.violations, [])
  t.ok(result.acknowledged > 300, `${result.acknowledged} acknowledged`)
  t.ok(result.virtualMs < KEPT_UP_MS, `${result.virtualMs} ms`)
})

t.test('a group whose log is trimmed and whose members change is whole in the end', async t => {
  // What waits for a time of its own keeps the log: none of these clients.
  const lanes = new Set(['send0', 'batch0', 'register0', 'sample', 'steps'])
  const cut = { untilMs: null, faults: null, lanes }
  const operated = (plan: Plan): Plan => ({
    ...plan,
    faults: new Map([
      ['trim', 500],
      ['members', 1_000]
    ]),
    faultyMs: 8_000,
    segmentBytes: 65_536,
    bodyBytesMax: 4_096,
    reservedMs: 300,
    latencyMs: 0.2,
    syncMs: 1,
    pauseMs: 30
  })
  const result = await runSeed(OPERATED_SEED, operated, cut)
  t.strictSame(result.violations, [])
  t.ok(result.trimmed > 0, `${result.trimmed} messages are gone`)
  for (const done of ['trim', 'addMember', 'removeMember']) {
    t.ok((result.faults[`${done} leader`] ?? 0) > 0, done)
  }
  t.ok((result.faults['offset one-way follower'] ?? 0) > 0, 'offsets by way of a follower')
})

t.test('what a log had on its disk is asked of the last process that had it', t => {
  const { judge, machine, violations } = judgeOfOne()
  const process = (starts: number, ends: number, stopReason: string | null): void => {
    let status = { lastIndex: starts, durableIndex: starts, stopReason: null as string | null }
    const node = { term: 1, status: () => ({ ...status, trouble: null, commitIndex: 0 }) }
    judge.opened(machine, node as unknown as RaftNode)
    status = { lastIndex: ends, durableIndex: ends, stopReason }
    judge.closing(machine)
    judge.closed(machine)
  }
  process(0, 159, null)
  process(159, 158, 'stopped')
  t.strictSame(violations, [], 'it was cut, and stopped in order')
  process(158, 150, 'disk failed')
  process(140, 140, null)
  t.strictSame(violations, [], 'nobody knows')
  process(139, 139, null)
  t.match(violations, [/^no silent cut: n0 had entries up to 140 on its disk and starts with 139$/])
  t.end()
})

t.test('a member that recovered before the power went is not asked to recover still', t => {
  const { judge, machine, violations } = judgeOfOne()
  const process = (starts: string | null, ends: string | null): void => {
    let trouble = starts
    const status = { lastIndex: 9, durableIndex: 9, stopReason: null, commitIndex: 0 }
    const node = { term: 1, status: () => ({ ...status, trouble }) }
    judge.opened(machine, node as unknown as RaftNode)
    trouble = ends
    judge.closing(machine, true)
    judge.closed(machine)
  }
  process('recovering', 'recovering')
  process('recovering', null)
  process(null, 'recovering')
  t.strictSame(violations, [])
  process(null, null)
  t.match(violations, [/^n0 was recovering and starts as if it were whole/])
  t.end()
})

t.test('whoever reaches the real clock or chance is found', t => {
  const reached: string[] = []
  const release = guardGlobals(what => reached.push(what))
  try {
    t.throws(() => Date.now())
    t.throws(() => Math.random())
    t.throws(() => setTimeout(() => {}, 0))
    t.throws(() => new Date())
    t.equal(new Date(0).getTime(), 0)
  } finally {
    release()
  }
  t.equal(reached.length, 4)
  t.ok(Date.now() > 0)
  t.end()
})

const FAILING_WORKER = `
process.on('message', ({ depth, seed }) => {
  const sums = { committedEntries: 0, statesCompared: 0, elections: 0, registerReads: 0, duplicates: 0, trimmed: 0 }
  const result = { seed, events: 1, acknowledged: 0, faults: {}, violations: ['planted'], ...sums }
  process.send(depth === 'rules' ? { kind: 'rules', counts: {} } : { kind: 'cluster', result })
})`

t.test('a campaign prints the command that plays a failed seed as the campaign did', async t => {
  const lines: string[] = []
  const program = `${t.testdir({ 'worker.mjs': FAILING_WORKER })}/worker.mjs`
  const campaign = new Campaign({
    depth: 'cluster',
    expected: [],
    wanted: { faults: ['kill', 'bitRot'], flush: 'async' },
    firstSeed: 7,
    lastSeed: 7,
    workers: 1,
    timeMs: null,
    first: false,
    print: text => lines.push(text),
    worker: pathToFileURL(program)
  })
  t.notOk(await campaign.run())
  const failed = lines.find(line => line.startsWith('seed 7 FAILED'))
  t.match(failed, /; npm run sim -- --seed 7 --with kill,bitRot --flush async \(/)
})

t.test('nothing that was acknowledged is lost in a share of disturbed clusters', async t => {
  const lines: string[] = []
  const campaign = new Campaign({
    depth: 'cluster',
    expected: [],
    wanted: NOTHING_WANTED,
    firstSeed: 1,
    lastSeed: SEEDS,
    workers: 2,
    timeMs: SHARE_MS,
    first: false,
    print: text => lines.push(text)
  })
  const whole = await campaign.run()
  t.ok(whole, whole ? `${campaign.runs} seeds` : lines.join('\n'))
  // How many runs fit into the time is the machine's business; that there were some is not.
  t.ok(campaign.runs >= 1 && campaign.acknowledged > 100, `${campaign.runs} seeds`)
})

/** A judge of a group of one machine, `n0`. */
function judgeOfOne(): { judge: Judge; machine: Machine; violations: string[] } {
  const violations: string[] = []
  const judge = new Judge({
    syncFlush: false,
    segmentBytes: 65_536,
    logDirectory: '/log',
    archive: null,
    membersChange: false,
    nowMs: () => 0,
    violation: text => violations.push(text)
  })
  const machine = { name: 'n0' } as Machine
  judge.add(machine)
  return { judge, machine, violations }
}
