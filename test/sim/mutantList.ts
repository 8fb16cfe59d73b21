/**
 * Bugs planted on purpose (raft.md 5.9): each changes one or two places of the compiled program, in a copy of it, and has to
 * be found. `with` are faults that every run of the hunt has, where a seed of the usual mix would meet them seldom.
 */
export interface Edit {
  /** Below build/src. */
  readonly file: string
  /** Must stand there exactly once. */
  readonly from: string
  readonly to: string
}

export interface Mutant {
  readonly id: string
  readonly bug: string
  readonly edits: readonly Edit[]
  readonly by: 'core' | 'cluster' | 'golden' | 'test'
  /** Of `test`: the file below build/test. */
  readonly test?: string
  readonly with?: readonly string[]
  readonly flush?: 'sync' | 'async'
}

/** Of raft.md 5.9, what is not planted, and why. */
export const HARMLESS: Readonly<Record<string, string>> = {
  M9: 'the refusal to cut below the commit is a guard: it is only reached when another rule is broken, so it is planted together with M7',
  M16: 'a round of a candidate ends after 250 ms whatever comes (R-E6), and the next append finds a follower'
}

const CORE = 'raft/core'

function one(
  id: string,
  bug: string,
  by: Mutant['by'],
  file: string,
  from: string,
  to: string,
  more: Pick<Mutant, 'with' | 'flush' | 'test'> = {}
): Mutant {
  return { id, bug, by, edits: [{ file, from, to }], ...more }
}

const NO_TERM_BEFORE: Edit = {
  file: `${CORE}/follower.js`,
  from: 'if (ownTerm === m.prevTerm)',
  to: 'if (ownTerm >= 0)'
}

const CUTS_AT_BAD_RECORD: Edit = {
  file: 'raft/log/scanner.js',
  from: 'if (!(await this.#mayBeAcknowledged(record, unit)))',
  to: 'if (record !== null)'
}

export const MUTANTS: readonly Mutant[] = [
  one(
    'M1',
    'a vote is not saved before the answer',
    'core',
    `${CORE}/votes.js`,
    's.vote = m.candidateId;\n            s.saveHardState();',
    's.vote = m.candidateId;'
  ),
  one(
    'M2',
    'the term is not saved when a node steps down',
    'core',
    `${CORE}/roles.js`,
    's.vote = null;\n        s.saveHardState();',
    's.vote = null;'
  ),
  one(
    'M3',
    'the up-to-date check compares the index before the term',
    'core',
    `${CORE}/wayOut.js`,
    'return a.term > b.term || (a.term === b.term && a.index >= b.index);',
    'return a.index > b.index || (a.index === b.index && a.term >= b.term);'
  ),
  one(
    'M3b',
    'the up-to-date check takes the candidate’s current term for that of its last entry',
    'core',
    `${CORE}/votes.js`,
    'const candidate = { index: m.lastIndex, term: m.lastTerm };',
    'const candidate = { index: m.lastIndex, term: m.term };'
  ),
  one(
    'M4',
    'entries of older terms are committed by counting',
    'core',
    `${CORE}/commit.js`,
    ' || s.log.terms.termAt(index) !== s.term)\n        return;\n    commitTo',
    ')\n        return;\n    commitTo'
  ),
  one(
    'M5',
    'a term begins without an entry of its own',
    'core',
    `${CORE}/proposals.js`,
    'appendOwn(s, role, EntryKind.noop, ENTRY_HEADER_BYTES, 0, null);',
    ''
  ),
  one(
    'M6',
    'a follower commits what the leader has, not what matched',
    'core',
    `${CORE}/commit.js`,
    'Math.min(role.provedCommit, s.log.soundIndex)',
    'Math.min(role.leaderCommit, s.log.soundIndex)'
  ),
  {
    id: 'M7',
    bug: 'appends are taken without a look at the term before',
    by: 'core',
    edits: [NO_TERM_BEFORE]
  },
  one(
    'M8',
    'the log is cut on every append',
    'core',
    `${CORE}/follower.js`,
    'return log.terms.termAt(entry.index) === entry.term;',
    'return false;'
  ),
  {
    id: 'M9',
    bug: 'committed entries may be cut (with M7)',
    by: 'core',
    edits: [
      NO_TERM_BEFORE,
      {
        file: `${CORE}/follower.js`,
        from: 'if (entry.index <= s.commitIndex) {',
        to: 'if (entry.index < 0) {'
      }
    ]
  },
  one(
    'M10',
    'an append is acknowledged before it is durable (SYNC_FLUSH)',
    'cluster',
    'raft/log/storageQueue.js',
    'await segments.append(file, group.buffers, group.at)',
    'await file.write(group.buffers, group.at)',
    { flush: 'sync' }
  ),
  one(
    'M11',
    'the leader counts itself at once',
    'core',
    `${CORE}/commit.js`,
    'quorumValue(s, role, s.log.countedIndex, p',
    'quorumValue(s, role, s.log.lastIndex, p'
  ),
  one(
    'M12',
    'half of the members are a majority',
    'core',
    `${CORE}/state.js`,
    'return (this.voters.length >> 1) + 1;',
    'return this.voters.length >> 1;'
  ),
  one(
    'M13',
    'the end of a write counts for what came later under its indexes',
    'core',
    `${CORE}/logState.js`,
    'write.lastIndex = Math.min(write.lastIndex, fromIndex - 1);',
    ';'
  ),
  {
    id: 'M14',
    bug: 'an acknowledgement of a former process is counted',
    by: 'core',
    edits: [
      { file: `${CORE}/replies.js`, from: ' || p.incarnation !== m.incarnation)', to: ')' },
      { file: `${CORE}/replies.js`, from: 'm.streamSeq < p.validFromSeq || ', to: '' }
    ]
  },
  one(
    'M15',
    'votes of different campaigns are added up',
    'core',
    `${CORE}/votes.js`,
    'if (m.term !== expected)\n        return;',
    ''
  ),
  one(
    'M17',
    'pre-votes are given while a leader is heard',
    'golden',
    `${CORE}/votes.js`,
    'if (!m.force && s.heardLeaderId !== null)',
    'if (!m.force && !m.pre && s.heardLeaderId !== null)'
  ),
  one(
    'M17b',
    'a question for pre-votes raises the term',
    'core',
    `${CORE}/votes.js`,
    'if (!m.pre && m.term > s.term)\n        becomeFollower',
    'if (m.term > s.term)\n        becomeFollower'
  ),
  one(
    'M18',
    'the window is not emptied with a new connection',
    'core',
    `${CORE}/progress.js`,
    'this.#frames.length = 0;\n        this.inFlightBytes = 0;',
    ''
  ),
  one(
    'M19',
    'a node votes while it is recovering from a power loss',
    'core',
    `${CORE}/votes.js`,
    'if (!s.recovering && isAtLeast(candidate',
    'if (isAtLeast(candidate'
  ),
  one(
    'M22',
    'a failed write is repeated and trusted',
    'cluster',
    'raft/log/storageQueue.js',
    '        await this.#writeAll(this.#current);',
    '        await this.#writeAll(this.#current).catch(() => this.#syncSegments());',
    { with: ['failWrite', 'failSync'], flush: 'sync' }
  ),
  {
    id: 'M23',
    bug: 'sends that wait outlive their leadership, and are answered by another entry at their index',
    by: 'cluster',
    with: ['isolate', 'killLeader', 'stall'],
    edits: [
      {
        file: 'store/appender.js',
        from: "this.failAll('notLeader');\n        this.#lanes.clear();",
        to: 'this.#lanes.clear();'
      },
      {
        file: 'store/appender.js',
        from: 'head.index !== index || head.term !== term',
        to: 'head.index > index'
      }
    ]
  },
  {
    id: 'M24',
    bug: 'recovery cuts at the first bad record (without its second guard: a node whose log may have lost something says so)',
    by: 'cluster',
    with: ['bitRot', 'hardCase'],
    edits: [
      CUTS_AT_BAD_RECORD,
      {
        file: 'raft/log/open.js',
        from: 'if (lastIndex < acknowledged) {',
        to: 'if (lastIndex < 0) {'
      },
      {
        file: 'raft/log/open.js',
        from: 'if (state.commit > lastIndex) {',
        to: 'if (lastIndex < 0) {'
      },
      {
        file: 'raft/log/open.js',
        from: 'if (lastIndex < state.watermark) {',
        to: 'if (lastIndex < 0) {'
      }
    ]
  },
  {
    id: 'M24b',
    bug: 'recovery cuts at the first bad record, and says so',
    by: 'test',
    test: 'raft/log/recovery.test.js',
    edits: [CUTS_AT_BAD_RECORD]
  },
  one(
    'M26',
    'reads are answered without asking a majority',
    'core',
    `${CORE}/reads.js`,
    'const confirmed = quorumValue(s, role, role.readSeq, p => p.readSeqAcked);',
    'const confirmed = role.readSeq;'
  ),
  one(
    'M27',
    'entries are applied, and shown, when they are written',
    'cluster',
    'raft/node/driver.js',
    'this.commits.appended(effect.index);',
    'this.commits.appended(effect.index);\n                this.applier.commitTo(effect.index);'
  ),
  one(
    'M28',
    'the table of queue offsets is kept over a lost leadership',
    'cluster',
    'store/appender.js',
    'this.#lanes.clear();\n        this.#ready = ready;',
    'this.#ready = ready;',
    { with: ['isolate', 'transfer', 'restart'] }
  ),
  one(
    'M29',
    'commands are applied again after a restart',
    'cluster',
    'store/machine.js',
    'const fresh = entry.index > this.#restored.tables;\n        if (fresh)',
    'const fresh = true;\n        if (fresh)',
    { with: ['kill', 'powerLoss'] }
  ),
  {
    id: 'M30',
    bug: 'TimeoutNow is sent before the target has everything, and its campaign is not compared by its log',
    by: 'core',
    edits: [
      { file: `${CORE}/transfer.js`, from: ' || p.matchIndex !== s.log.lastIndex)', to: ')' },
      {
        file: `${CORE}/votes.js`,
        from: 'if (!s.recovering && isAtLeast(candidate',
        to: 'if (m.force || !s.recovering && isAtLeast(candidate'
      }
    ]
  },
  one(
    'M31',
    'no fsync of the directory when a segment is made',
    'cluster',
    'raft/log/segments.js',
    'await this.disk.syncDirectory(this.directory);\n            segment.preparedBytes',
    'segment.preparedBytes',
    { with: ['powerLossAll', 'powerLoss'], flush: 'sync' }
  ),
  {
    id: 'M33',
    bug: 'a kill makes a node forget that it is recovering',
    by: 'cluster',
    with: ['powerLoss', 'killAll', 'kill'],
    flush: 'async',
    edits: [
      {
        file: 'raft/log/open.js',
        from: "recovering: recovering !== null,\n        bootId: recovering !== null || damaged ? '' : options.bootId,",
        to: 'recovering: false,\n        bootId: options.bootId,'
      }
    ]
  },
  one(
    'M34',
    'a node leads before its own vote is durable',
    'core',
    `${CORE}/votes.js`,
    'else if (role.votes.get(s.selfId) === true)\n        becomeLeader',
    'else\n        becomeLeader'
  ),
  one(
    'M20',
    'members are changed again before the change before is committed',
    'core',
    `${CORE}/membership.js`,
    'if (s.configurationIndex > s.commitIndex)',
    'if (s.configurationIndex < 0)'
  ),
  one(
    'M21',
    'learners count in the majority',
    'core',
    `${CORE}/state.js`,
    "this.voters = this.configuration?.members.filter(member => member.role === 'voter') ?? [];",
    'this.voters = this.configuration?.members ?? [];'
  ),
  one(
    'R-M3',
    'a cut of the log leaves the configuration that it took away in force',
    'core',
    `${CORE}/logState.js`,
    'this.configurations.pop();',
    'break;'
  ),
  one(
    'R-M5',
    'a leader proposes its own removal',
    'core',
    `${CORE}/membership.js`,
    'if (id === s.selfId)',
    "if (id === '')"
  ),
  {
    id: 'M35',
    bug: 'a member with another disk counts by its name',
    by: 'core',
    edits: [
      {
        file: `${CORE}/state.js`,
        from: 'voter.id === id && voter.uid === uid',
        to: 'voter.id === id'
      },
      {
        file: `${CORE}/state.js`,
        from: 'member.id === id && member.uid === uid',
        to: 'member.id === id'
      }
    ]
  },
  one(
    'M25',
    'a snapshot is installed without moving the start of the log and its term',
    'test',
    'raft/log/switchLog.js',
    'start: manifest.start,',
    '',
    { test: 'raft/log/copy.test.js' }
  ),
  one(
    'M32',
    'the log is trimmed beyond a half message that is in doubt',
    'test',
    'store/tables.js',
    'if (command.position > this.inDoubt.oldestPosition)',
    'if (command.position < 0)',
    { test: 'store/transactions.test.js' }
  ),
  one(
    'M37',
    'segments go before the state that knows of it is on the disk',
    'test',
    'store/trimmer.js',
    'await checkpoints.sync();',
    '',
    { test: 'store/retention.test.js' }
  ),
  one(
    'M36',
    'a snapshot that is not needed any more takes the log’s place',
    'core',
    `${CORE}/snapshots.js`,
    'if (!isNeeded(s, snapshot)) {',
    'if (snapshot === null) {'
  ),
  one(
    'R-D5',
    'derived state is written ahead of the own durable log',
    'cluster',
    'store/checkpoint.js',
    'while (this.#host.durableIndex() < capture.index) {',
    'while (capture.index < 0) {',
    { with: ['powerLossAll', 'trim'], flush: 'async' }
  ),
  one(
    'R-D6',
    'recovered by a commit of an older term',
    'golden',
    `${CORE}/commit.js`,
    ' || log.terms.termAt(commit) !== s.term)',
    ')'
  ),
  one(
    'R-D6a',
    'recovered by what the leader said to a former process',
    'golden',
    `${CORE}/follower.js`,
    'if (isForThisProcess(s, m))',
    'if (true)'
  ),
  one(
    'R-D7',
    'a member that was never founded votes for nobody',
    'golden',
    `${CORE}/votes.js`,
    's.configuration === null && m.lastIndex === 0)',
    's.configuration === null)'
  ),
  {
    id: 'R-D7a',
    bug: 'a member that was never founded votes for who has no entry',
    by: 'golden',
    edits: [
      {
        file: `${CORE}/votes.js`,
        from: 's.configuration === null && m.lastIndex === 0)',
        to: 's.configuration === null && m.lastIndex < 0)'
      },
      {
        file: `${CORE}/votes.js`,
        from: 'return !isAtLeast(own, {',
        to: 'return s.configuration === null || !isAtLeast(own, {'
      }
    ]
  },
  one(
    'R-D7b',
    'the vote of a disk that is gone counts',
    'golden',
    `${CORE}/votes.js`,
    'if (!s.isLinked(from) || s.links.get(from)?.uid !== m.voterUid)',
    'if (m.voterUid === "")'
  ),
  one(
    'R-D7c',
    'an entry that nobody else has keeps out the members of the group that came about',
    'golden',
    `${CORE}/founding.js`,
    'if (s.beganOtherwise(hello.clusterId))',
    "if (s.onlyFounded && hello.clusterId !== '')"
  ),
  one(
    'R-D6w',
    'a member that was never founded is waited for as a whole one',
    'golden',
    `${CORE}/votes.js`,
    's.recovering || s.configuration === null,',
    's.recovering,'
  ),
  one(
    'R-L2',
    'what the leader has is written over a damaged entry of which nothing is known',
    'core',
    `${CORE}/follower.js`,
    'return fits(s, entry) ? null : false;',
    'return true;'
  ),
  one(
    'R-L2',
    'nothing remembers that what was cut unrecognized may have been acknowledged',
    'golden',
    `${CORE}/follower.js`,
    'const forgets = fromIndex < entry.index;',
    'const forgets = false;'
  ),
  one(
    'R-E8',
    'a campaign goes on over damage below what it counts on',
    'core',
    `${CORE}/repair.js`,
    'if (campaigns && s.log.soundIndex < role.lastIndex)',
    'if (campaigns && s.log.soundIndex < 0)'
  ),
  one(
    'R-E9',
    'proposals are taken before the own entry is committed',
    'golden',
    `${CORE}/commit.js`,
    'if (role.ready || s.commitIndex < role.ownFirstIndex || s.appliedIndex < role.ownFirstIndex)',
    'if (role.ready || s.commitIndex < 0)'
  ),
  one(
    'R-E10',
    'a leader without a majority leads on',
    'golden',
    `${CORE}/raft.js`,
    'if (active >= s.majority)',
    'if (active >= 0)'
  ),
  one(
    'R-E11',
    'a leader keeps a damaged entry that nobody else has',
    'core',
    `${CORE}/transfer.js`,
    'if (role.stuckTicks < 2 * s.ticks.election)',
    'if (role.stuckTicks >= 0)'
  ),
  one(
    'R-L5',
    'what is cut stays on the disk',
    'test',
    'raft/log/storageQueue.js',
    'await this.#zeroFrom(operation);',
    '',
    { test: 'raft/log/crash.test.js' }
  ),
  one(
    'R-M7',
    'a leader counts by a configuration that its own disk does not have yet',
    'core',
    `${CORE}/commit.js`,
    'if (s.log.countedIndex < s.configurationIndex)',
    'if (s.configurationIndex < 0)'
  ),
  one(
    'R-R1',
    'a new connection keeps what was acknowledged on the one before',
    'core',
    `${CORE}/progress.js`,
    'this.matchIndex = 0;\n        this.result',
    'this.result'
  ),
  one(
    'S1',
    'queues that a killed process left to the page cache count as synced',
    'cluster',
    'store/checkpoint.js',
    'this.#syncedIndex = restored.syncedIndex;',
    'this.#syncedIndex = restored.checkpointIndex;',
    { with: ['kill', 'powerLoss', 'powerLossAll'], flush: 'sync' }
  ),
  one(
    'S2',
    'the guessed place of an entry without a header stands against its repair',
    'cluster',
    'raft/node/faults.js',
    'fault.term === null ? -1 : fault.position',
    'fault.position',
    { with: ['bitRot'] }
  ),
  one(
    'S3',
    'units of a queue are believed as they stand on the disk',
    'cluster',
    'store/queueFiles.js',
    'return expected !== null && checkedCrc(queue, first, bytes) === expected ? bytes : null;',
    'return bytes;',
    { with: ['bitRot', 'kill'] }
  ),
  one(
    'S4',
    'the copy of the hard state is written and not read',
    'cluster',
    'raft/log/hardState.js',
    'slots.push(...(await readSlots(file)));',
    'if (slots.length === 0) slots.push(...(await readSlots(file)));',
    { with: ['bitRot', 'kill'] }
  ),
  one(
    'S5',
    'memory is used again that the socket to a peer still sends from',
    'cluster',
    'raft/node/sentBytes.js',
    'const takenBytes = this.#givenBytes - bytes;',
    'const takenBytes = this.#givenBytes;',
    { with: ['slowLink', 'isolate', 'stall'] }
  ),
  one(
    'S6',
    'memory is used again that a socket to a client still sends from',
    'cluster',
    'remoting/output.js',
    'this.#lent.push({ view, blocks });',
    'blocks.release(view);',
    { with: ['slowLink', 'isolate', 'stallClient'] }
  ),
  one(
    'S7',
    'a start takes away a bad end of the log before it says that it recovers',
    'test',
    'raft/log/open.js',
    'if (recovering !== null && torn && !fresh)',
    'if (false)',
    { test: 'raft/log/recovery.test.js' }
  ),
  one(
    'S8',
    'a node tells of entries before its mark says so',
    'cluster',
    'raft/log/storageQueue.js',
    'await this.#withSpace(async () => acknowledged.raise(claim.lastIndex));',
    '',
    { with: ['bitRot', 'hardCase'] }
  ),
  one(
    'S9',
    'a cut leaves the mark behind the end of the log',
    'test',
    'raft/log/storageQueue.js',
    'await this.#o.acknowledged.lower(operation.fromIndex - 1);',
    '',
    { test: 'raft/log/crash.test.js' }
  )
]
