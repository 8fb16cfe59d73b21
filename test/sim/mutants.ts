/**
 * Bugs planted on purpose (raft.md 5.9): each is a change of one place of the compiled program, in a copy of it, and a
 * simulation has to find it: that of the cores alone, which has far more schedules, or else that of the whole cluster. One
 * that is not found is a hole in the simulation.
 *
 *   npm run sim:mutants -- [--only M10,M12] [--seeds 1..60] [--workers 2]
 */
import { spawn } from 'node:child_process'
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import process from 'node:process'
import { parseArgs } from 'node:util'

interface Mutant {
  readonly id: string
  readonly bug: string
  /** Below build/src. */
  readonly file: string
  /** Must stand there exactly once. */
  readonly from: string
  readonly to: string
}

const COPY = 'build-mutant'
/** Some minutes for one that none of them finds. */
const CORE_RUNS = '20000'

const MUTANTS: readonly Mutant[] = [
  {
    id: 'M1',
    bug: 'a vote is not saved before the answer',
    file: 'raft/core/votes.js',
    from: 's.vote = m.candidateId;\n            s.saveHardState();',
    to: 's.vote = m.candidateId;'
  },
  {
    id: 'M3',
    bug: 'the up-to-date check compares the index before the term',
    file: 'raft/core/wayOut.js',
    from: 'return a.term > b.term || (a.term === b.term && a.index >= b.index);',
    to: 'return a.index > b.index || (a.index === b.index && a.term >= b.term);'
  },
  {
    id: 'M4',
    bug: 'entries of older terms are committed by counting',
    file: 'raft/core/commit.js',
    from: ' || s.log.terms.termAt(index) !== s.term)\n        return;\n    commitTo',
    to: ')\n        return;\n    commitTo'
  },
  {
    id: 'M6',
    bug: 'a follower commits what the leader has, not what matched',
    file: 'raft/core/commit.js',
    from: 'Math.min(role.provedCommit, s.log.soundIndex)',
    to: 'Math.min(role.leaderCommit, s.log.soundIndex)'
  },
  {
    id: 'M7',
    bug: 'appends are taken without a look at the term before',
    file: 'raft/core/follower.js',
    from: 'if (ownTerm === m.prevTerm)',
    to: 'if (ownTerm >= 0)'
  },
  {
    id: 'M8',
    bug: 'the log is cut on every append',
    file: 'raft/core/follower.js',
    from: 'if (log.terms.termAt(entry.index) === entry.term)\n                continue;',
    to: ''
  },
  {
    id: 'M10',
    bug: 'an append is acknowledged before it is durable (SYNC_FLUSH)',
    file: 'raft/log/storageQueue.js',
    from: 'await file.writeDurably(group.buffers, group.at)',
    to: 'await file.write(group.buffers, group.at)'
  },
  {
    id: 'M11',
    bug: 'the leader counts itself at once',
    file: 'raft/core/commit.js',
    from: 'quorumValue(s, role, s.log.countedIndex, p',
    to: 'quorumValue(s, role, s.log.lastIndex, p'
  },
  {
    id: 'M12',
    bug: 'half of the members are a majority',
    file: 'raft/core/state.js',
    from: 'return (this.voters.length >> 1) + 1;',
    to: 'return this.voters.length >> 1;'
  },
  {
    id: 'M19',
    bug: 'a node votes while it is recovering from a power loss',
    file: 'raft/core/votes.js',
    from: 'if (!s.recovering && isAtLeast(candidate',
    to: 'if (isAtLeast(candidate'
  },
  {
    id: 'M20a',
    bug: 'members are changed again before the change before is committed',
    file: 'raft/core/membership.js',
    from: 'if (s.configurationIndex > s.commitIndex)',
    to: 'if (s.configurationIndex < 0)'
  },
  {
    id: 'M20b',
    bug: 'a leader changes members before it has committed an entry of its term',
    file: 'raft/core/membership.js',
    from: 'if (s.commitIndex < role.ownFirstIndex)',
    to: 'if (role.ownFirstIndex < 0)'
  },
  {
    id: 'M21',
    bug: 'learners count in the majority',
    file: 'raft/core/state.js',
    from: "this.voters = this.configuration?.members.filter(member => member.role === 'voter') ?? [];",
    to: 'this.voters = this.configuration?.members ?? [];'
  },
  {
    id: 'M35',
    bug: 'votes count by id, whatever disk they come from',
    file: 'raft/core/state.js',
    from: 'if (voter.id === id && voter.uid === uid)\n                return true;',
    to: 'if (voter.id === id)\n                return true;'
  },
  {
    id: 'R-M3',
    bug: 'a cut of the log leaves the configuration that it took away in force',
    file: 'raft/core/logState.js',
    from: 'this.configurations.pop();',
    to: 'break;'
  },
  {
    id: 'R-M5',
    bug: 'a leader proposes its own removal',
    file: 'raft/core/membership.js',
    from: 'if (id === s.selfId)',
    to: "if (id === '')"
  },
  {
    id: 'R-M7',
    bug: 'a leader counts by a configuration that its own disk does not have yet',
    file: 'raft/core/commit.js',
    from: 'if (s.log.countedIndex < s.configurationIndex)',
    to: 'if (s.configurationIndex < 0)'
  },
  {
    id: 'M22',
    bug: 'a failed fsync is repeated and trusted',
    file: 'raft/log/storageQueue.js',
    from: '                await this.#writeAll(this.#current);',
    to: '                await this.#writeAll(this.#current).catch(() => this.#syncSegments());'
  },
  {
    id: 'M23',
    bug: 'a waiting send is answered by another entry at its index',
    file: 'store/appender.js',
    from: 'head.index !== index || head.term !== term',
    to: 'head.index !== index'
  },
  {
    id: 'M24',
    bug: 'recovery cuts at the first bad record',
    file: 'raft/log/scanner.js',
    from: 'if (!(await this.#mayBeAcknowledged(record, unit)))',
    to: 'if (record !== null)'
  },
  {
    id: 'M26',
    bug: 'reads are answered without asking a majority',
    file: 'raft/core/reads.js',
    from: 'const confirmed = quorumValue(s, role, role.readSeq, p => p.readSeqAcked);',
    to: 'const confirmed = role.readSeq;'
  },
  {
    id: 'M28',
    bug: 'the table of queue offsets is kept over a lost leadership',
    file: 'store/appender.js',
    from: 'this.#lanes.clear();\n        this.#ready = ready;',
    to: 'this.#ready = ready;'
  },
  {
    id: 'M29',
    bug: 'commands are applied again after a restart',
    file: 'store/machine.js',
    from: 'const fresh = entry.index > this.#restored.tables;\n        if (fresh)',
    to: 'const fresh = true;\n        if (fresh)'
  },
  {
    id: 'M31',
    bug: 'no fsync of the directory when a segment is made',
    file: 'raft/log/segments.js',
    from: 'await this.disk.syncDirectory(this.directory);\n            segment.preparedBytes',
    to: 'segment.preparedBytes'
  },
  {
    id: 'R-D5',
    bug: 'derived state is written ahead of the own durable log',
    file: 'store/checkpoint.js',
    from: 'while (this.#host.durableIndex() < capture.index) {',
    to: 'while (capture.index < 0) {'
  },
  {
    id: 'S1',
    bug: 'queues that a killed process left to the page cache count as synced',
    file: 'store/checkpoint.js',
    from: 'this.#syncedIndex = restored.syncedIndex;',
    to: 'this.#syncedIndex = restored.checkpointIndex;'
  },
  {
    id: 'S2',
    bug: 'the guessed place of an entry without a header stands against its repair',
    file: 'raft/node/faults.js',
    from: 'fault.term === null ? -1 : fault.position',
    to: 'fault.position'
  }
]

function plant({ file, from, to }: Mutant): void {
  rmSync(COPY, { recursive: true, force: true })
  for (const folder of ['src', 'test/sim', 'test/helpers', 'test/chaos', 'test/raft']) {
    cpSync(`build/${folder}`, `${COPY}/${folder}`, { recursive: true })
  }
  const path = `${COPY}/src/${file}`
  const text = readFileSync(path, 'utf8')
  const places = text.split(from).length - 1
  if (places !== 1) throw new Error(`${file} has ${places} times: ${from}`)
  writeFileSync(
    path,
    text.replace(from, () => to)
  )
}

interface Hunt {
  readonly found: boolean
  readonly seeds: number
  readonly how: string
}

/** The core's own schedules; null: not found by them. */
function huntInCore(): Promise<string | null> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [`${COPY}/test/raft/core/simulation.test.js`], {
      env: { ...process.env, RAFT_CORE_RUNS: CORE_RUNS }
    })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
    child.on('error', reject)
    child.on('close', code => {
      const how = /^ *not ok.*$/m.exec(output)?.[0].trim() ?? ''
      resolve(code === 0 ? null : how.slice(0, 160))
    })
  })
}

function hunt(seeds: string, workers: string): Promise<Hunt> {
  return new Promise((resolve, reject) => {
    const command = [`${COPY}/test/sim/main.js`, '--seeds', seeds, '--workers', workers, '--first']
    const child = spawn(process.execPath, command, { env: { ...process.env, TZ: 'UTC' } })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
    child.on('error', reject)
    child.on('close', code => {
      const played = [...output.matchAll(/^(\d+) seeds/gm)].at(-1)?.[1] ?? '0'
      const how = /FAILED.*\n\s+(.*)/.exec(output)?.[1] ?? output.slice(-200)
      resolve({ found: code === 1, seeds: Number(played), how: how.slice(0, 160) })
    })
  })
}

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    seeds: { type: 'string', default: '1..60' },
    workers: { type: 'string', default: '2' }
  }
})
const chosen = values.only?.split(',')
const missed: string[] = []
for (const mutant of MUTANTS) {
  if (chosen !== undefined && !chosen.includes(mutant.id)) continue
  plant(mutant)
  const byCore = mutant.file.startsWith('raft/core/') ? await huntInCore() : null
  if (byCore !== null) {
    console.log(`${mutant.id} ${mutant.bug}: found by the core's schedules: ${byCore}`)
    continue
  }
  const { found, seeds, how } = await hunt(values.seeds, values.workers)
  if (!found) missed.push(mutant.id)
  console.log(`${mutant.id} ${mutant.bug}: ${found ? `found, ${seeds} seeds: ${how}` : 'MISSED'}`)
}
rmSync(COPY, { recursive: true, force: true })
if (missed.length > 0) console.log(`missed: ${missed.join(' ')}`)
process.exit(missed.length === 0 ? 0 : 1)
