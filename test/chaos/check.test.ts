import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { longestGap, outages, quantile } from './availability.ts'
import { check, type Rules } from './check.ts'
import type { Episode } from './episode.ts'
import type { HistoryEvent } from './events.ts'
import { FAULTS } from './faults.ts'
import { openChaosLines } from './openChaos.ts'
import { writeReport } from './report.ts'
import { summaryLines } from './summary.ts'
import { writeTap } from './tap.ts'

const rules: Rules = {
  inOrder: sender => sender.startsWith('lane'),
  groups: new Map([['orderly', ['T']]]),
  orderlyGroups: new Set(['orderly'])
}

function sent(at: number, value: string, offset: number): HistoryEvent[] {
  const head = { client: value.split(':')[0] ?? '', op: 'send', topic: 'T', value } as const
  return [
    { at, kind: 'invoke', ...head },
    { at: at + 5, kind: 'ok', ...head, queue: 0, offset }
  ]
}

function placed(op: 'stored' | 'deliver', value: string, offset: number): HistoryEvent {
  const client = op === 'stored' ? 'reader' : 'orderly'
  return { at: 100, client, op, kind: 'ok', topic: 'T', value, queue: 0, offset }
}

function offsetOf(
  op: 'commit' | 'read' | 'sample',
  kind: 'invoke' | 'ok' | 'unknown',
  offset?: number,
  group = 'register'
): HistoryEvent {
  const what = { at: 50, client: 'c', op, kind, group, topic: 'T', queue: 0 }
  return offset === undefined ? what : { ...what, offset }
}

function fault(at: number, kind: 'start' | 'healed' | 'end', number = 1): HistoryEvent {
  return { at, client: 'conductor', op: 'fault', kind, fault: 'kill', number, nodes: ['n0'] }
}

const values = ['lane0:0', 'lane0:1', 'loose:0']
const sends = values.flatMap((value, offset) => sent(offset * 10, value, offset))
const stored = values.map((value, offset) => placed('stored', value, offset))
const delivered = values.map((value, offset) => placed('deliver', value, offset))
const good = [...sends, ...stored, ...delivered]

t.test('a copy that came when the consumers were done need not have been delivered', async t => {
  const late = { ...placed('stored', 'loose:0', 3), late: true } as HistoryEvent
  const copied = [...good, fault(0, 'start'), fault(90, 'end'), late]
  t.strictSame(check(copied, rules).violations, [])
  t.strictSame(check([...copied, placed('deliver', 'loose:0', 3)], rules).violations, [])
  const only = [...good, ...sent(80, 'loose:1', 3), { ...late, value: 'loose:1' } as HistoryEvent]
  t.match(check(only, rules).violations, [/^lost or changed: loose:1 was acknowledged at T\/0@3/])
})

t.test('a good history has no violations', async t => {
  const registers = [
    offsetOf('commit', 'invoke', 1),
    offsetOf('commit', 'ok', 1),
    offsetOf('commit', 'invoke', 2),
    offsetOf('commit', 'unknown', 2),
    offsetOf('read', 'invoke'),
    offsetOf('read', 'ok', 2),
    offsetOf('sample', 'ok', 3, 'orderly')
  ]
  t.strictSame(check([...good, ...registers], rules), {
    violations: [],
    sent: 3,
    acknowledged: 3,
    lost: 0,
    stored: 3,
    delivered: 3,
    duplicates: 0,
    unexplainedDuplicates: 0
  })
})

const wrong: [name: string, events: HistoryEvent[], violation: RegExp][] = [
  [
    'an acknowledged message that is gone',
    [...sends, ...stored.slice(0, 2), ...delivered.slice(0, 2)],
    /^lost or changed: loose:0 was acknowledged at T\/0@2, where nothing lies/
  ],
  [
    'an acknowledged message in whose place another lies',
    [...sends, stored[0]!, placed('stored', 'lane0:0', 1), stored[2]!],
    /^lost or changed: lane0:1 .* where lane0:0 lies/
  ],
  [
    'a message that nobody sent',
    [...good, placed('stored', 'lane0:9', 3)],
    /^invented: lane0:9 at T\/0@3/
  ],
  ['a hole in a queue', [...sends, ...stored.slice(1)], /^hole: T\/0: 1 follows -1/],
  [
    'messages of a lane that changed places',
    [...sends, placed('stored', 'lane0:1', 0), placed('stored', 'lane0:0', 1)],
    /^out of order: lane0:0 at T\/0@1 stands behind lane0:1/
  ],
  [
    'a delivery of something that does not lie there',
    [...good, placed('deliver', 'loose:7', 2)],
    /^delivered something else: orderly got loose:7 at T\/0@2, where loose:0 lies/
  ],
  [
    'a message that a group did not get',
    [...sends, ...stored, ...delivered.slice(0, 2)],
    /^not delivered: loose:0 at T\/0@2 to orderly/
  ],
  [
    'an orderly delivery that skips one',
    [...sends, ...stored, delivered[0]!, delivered[2]!, delivered[1]!],
    /^delivered out of order: orderly T\/0: 2 came when 1 was due/
  ],
  [
    'a read of less than was answered',
    [
      ...good,
      offsetOf('commit', 'invoke', 5),
      offsetOf('commit', 'ok', 5),
      offsetOf('read', 'invoke'),
      offsetOf('read', 'ok', 4)
    ],
    /^committed offset: register T\/0: 4 was read, 5 was there before/
  ],
  [
    'a read of what nobody committed',
    [...good, offsetOf('read', 'invoke'), offsetOf('read', 'ok', 1)],
    /^committed offset: .* nobody committed more than 0/
  ],
  [
    'an offset that falls',
    [...good, offsetOf('sample', 'ok', 2, 'orderly'), offsetOf('sample', 'ok', 1, 'orderly')],
    /^committed offset: orderly T\/0: fell from 2 to 1/
  ],
  [
    'an offset beyond what was delivered',
    [offsetOf('sample', 'ok', 1, 'orderly'), ...good],
    /^committed before it was delivered: orderly T\/0: 1, delivered without a hole up to 0/
  ],
  [
    'two leaders of a term',
    [
      ...good,
      { at: 1, client: 'n0', op: 'leader', kind: 'ok', term: 3 },
      { at: 2, client: 'n1', op: 'leader', kind: 'ok', term: 3 }
    ],
    /^two leaders: n0 and n1 in term 3/
  ],
  [
    'a second copy of a send that met nothing',
    [...good, placed('stored', 'loose:0', 3), placed('deliver', 'loose:0', 3)],
    /^stored twice without a reason: T loose:0 2 times/
  ]
]

for (const [name, events, violation] of wrong) {
  t.test(`${name} is found`, async t => {
    const { violations } = check(events, rules)
    t.ok(
      violations.some(text => violation.test(text)),
      violations.join('\n')
    )
  })
}

t.test(
  'a repeated send is counted and not blamed during a fault, after a failure, or when it took long',
  async t => {
    const again = [placed('stored', 'loose:0', 3), placed('deliver', 'loose:0', 3)]
    const head = { client: 'loose', op: 'send', topic: 'T', value: 'loose:0' } as const
    const failed: HistoryEvent = { at: 21, kind: 'unknown', ...head, error: 'TIMEOUT' }
    const late: HistoryEvent[] = [{ at: 2000, kind: 'ok', ...head, queue: 0, offset: 2 }]
    const causes = { fault: [fault(15, 'start'), fault(30, 'end')], failed: [failed], late }
    for (const [name, cause] of Object.entries(causes)) {
      const found = check([...good, ...cause, ...again], rules)
      t.strictSame(found.violations, [], name)
      t.equal(found.duplicates, 1, name)
    }
  }
)

t.test('many violations of a kind are summed up', async t => {
  const { violations, lost } = check(
    sends.concat(...Array.from({ length: 20 }, (_, i) => sent(i, `lane1:${i}`, 50 + i))),
    rules
  )
  t.equal(lost, 23)
  t.match(violations, ['lost or changed: and 18 more'].map(text => new RegExp(text)).slice(1))
  t.ok(violations.includes('lost or changed: and 18 more'))
})

t.test(
  'the gap of a fault begins with the last acknowledgement before it and ends with its end',
  async t => {
    t.equal(longestGap([0, 10, 40, 45], 20, 50), 30)
    t.equal(longestGap([0, 10, 12], 11, 50), 38, 'nothing is acknowledged up to the end')
    t.equal(longestGap([], 10, 50), 40)
    t.equal(longestGap([0, 5, 100], 4, 6), 5)
    const [outage] = outages([
      ...sent(0, 'a:0', 0),
      fault(10, 'start'),
      { at: 20, client: 'n1', op: 'leader', kind: 'ok', term: 2 },
      ...sent(300, 'a:1', 1),
      fault(310, 'healed'),
      fault(320, 'end'),
      { at: 400, client: 'n2', op: 'leader', kind: 'ok', term: 3 }
    ])
    t.match(outage, {
      gapMs: 300,
      elections: 1,
      acknowledged: 1,
      startMs: 10,
      healedMs: 310,
      endMs: 320
    })
  }
)

t.test('a fault that never ended lasts to the end of the history', async t => {
  const [outage] = outages([...sent(0, 'a:0', 0), fault(10, 'start'), ...sent(995, 'a:1', 1)])
  t.match(outage, { gapMs: 995, endMs: 1000, healedMs: 1000 })
})

t.test('quantiles are by the nearest rank', async t => {
  t.equal(quantile([], 0.5), 0)
  t.equal(quantile([3, 1, 2], 0.5), 2)
  t.equal(quantile([3, 1, 2], 0.99), 3)
})

t.test('a history is written as OpenChaos writes it', async t => {
  t.strictSame(
    openChaosLines([
      fault(0, 'start'),
      ...sent(10, 'lane0:0', 0),
      delivered[0]!,
      fault(120, 'end')
    ]),
    [
      'fault\tkill\tstart\t0\tn0',
      'lane0\tenqueue\tREQUEST\tlane0:0\tlane0\t10\t',
      'lane0\tenqueue\tRESPONSE\tSUCCESS\tlane0:0\tlane0\t15\t5\t\t-1',
      'orderly\tdequeue\tRESPONSE\tSUCCESS\tlane0:0\tlane0\t100\t0\tT-0-0\t90',
      'fault\tkill\tend\t120\tn0'
    ]
  )
})

/** A judged cluster with one fault and this history. */
function judged(events: readonly HistoryEvent[], complaints: string[] = []): Episode {
  const history = [...events, fault(5, 'start'), fault(60, 'healed'), fault(70, 'end')]
  return {
    number: 1,
    complaints,
    historyFile: 'history-1.ndjson',
    judgement: {
      findings: check(history, rules),
      outages: outages(history),
      buckets: [3],
      firstMs: 0
    }
  }
}

t.test('the table has each kind of fault, its gaps and the sums', async t => {
  const text = summaryLines([judged(good), judged(good)]).join('\n')
  t.match(text, /\| kill \| 2 \| 0 \| 0\.04 s \| 0\.04 s \| 0\.04 s \|/)
  t.match(text, /2 faults in 2 clusters, 6 sends, 6 acknowledged, 0 lost or changed/)
})

t.test(
  'TAP and report tell what is lost, what a cluster did not get over, and a run that ended early',
  async t => {
    const directory = t.testdir()
    const tap = join(directory, 'tap')
    await writeTap(tap, [judged(good)], 7, null)
    t.notMatch(readFileSync(tap, 'utf8'), /^not ok/m)
    t.match(readFileSync(tap, 'utf8'), /^ok 1 - chaos seed 7: kill of n0, 45 ms[\s\S]*^1\.\.3$/m)
    const bad = judged([...sends, ...stored.slice(0, 2)], ['kill of n0: not whole'])
    await writeTap(tap, [bad], 7, 'the run ended early')
    const lines = readFileSync(tap, 'utf8').split('\n')
    const failed = lines.filter(line => line.startsWith('not ok')).join('\n')
    for (const text of ['kill of n0,', 'not whole', 'lost or changed: loose:0', 'ended early']) {
      t.ok(failed.includes(text), text)
    }
    const report = join(directory, 'report.html')
    await writeReport(report, [bad], { seed: 7, system: 'a<b', flush: 'SYNC_FLUSH', minutes: 1 })
    const page = readFileSync(report, 'utf8')
    t.match(page, /things do not hold/)
    t.match(page, /lost or changed: loose:0/)
    t.match(page, /<svg /)
    t.match(page, /a&lt;b/)
  }
)

t.test('the faults that the scripts name are there', async t => {
  const names = new Set(FAULTS.map(({ name }) => name))
  let found = 0
  for (const script of ['.ci/run', 'scripts/test.sh']) {
    for (const [, share = ''] of readFileSync(script, 'utf8').matchAll(/"\d+ ([a-z0-9,-]+)"/g)) {
      for (const name of share.split(',')) t.ok(names.has(name), `${script}: ${name}`)
      found += 1
    }
  }
  t.equal(found, 4)
})
