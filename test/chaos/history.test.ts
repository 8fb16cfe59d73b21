import t from 'tap'
import { type Acknowledged, check, type History, longestGap } from './history.ts'

const acknowledged: Acknowledged[] = [
  { lane: 0, sequence: 0, queueId: 0, queueOffset: 0, atMs: 10 },
  { lane: 0, sequence: 1, queueId: 0, queueOffset: 1, atMs: 20 },
  { lane: 1, sequence: 0, queueId: 1, queueOffset: 0, atMs: 30 }
]
const stored = [
  { queueId: 0, queueOffset: 0, body: '0:0' },
  { queueId: 0, queueOffset: 1, body: '0:1' },
  { queueId: 1, queueOffset: 0, body: '1:0' }
]
const good: History = {
  acknowledged,
  stored,
  delivered: stored,
  committed: [
    { queueId: 0, offset: 1 },
    { queueId: 1, offset: 0 },
    { queueId: 0, offset: 2 }
  ]
}

t.test('a good history has no violations', async t => {
  t.strictSame(check(good), {
    violations: [],
    acknowledged: 3,
    stored: 3,
    delivered: 3,
    duplicates: 0
  })
})

t.test('a repeated send is counted, not blamed', async t => {
  const again = { queueId: 0, queueOffset: 2, body: '0:0' }
  const found = check({ ...good, stored: [...stored.slice(0, 2), again, stored[2]!] })
  t.strictSame(found.violations, [])
  t.equal(found.duplicates, 1)
})

const broken: [name: string, change: Partial<History>, violation: RegExp][] = [
  ['an acknowledged message that is gone', { stored: stored.slice(0, 2) }, /^lost or changed: 1:0/],
  [
    'an acknowledged message in whose place another lies',
    { stored: [stored[0]!, { ...stored[1]!, body: '0:7' }, stored[2]!] },
    /^lost or changed: 0:1 .* 0:7 lies/
  ],
  [
    'a hole in a queue',
    { acknowledged: [], stored: [{ queueId: 0, queueOffset: 1, body: '0:0' }] },
    /^hole: queue 0/
  ],
  [
    'two messages of a lane that changed places',
    {
      acknowledged: [],
      stored: [
        { queueId: 0, queueOffset: 0, body: '0:1' },
        { queueId: 0, queueOffset: 1, body: '0:0' }
      ]
    },
    /^out of order: 0:0/
  ],
  [
    'a delivery of something that does not lie there',
    { delivered: [...stored, { queueId: 0, queueOffset: 5, body: '0:5' }] },
    /^delivered something else: 0:5/
  ],
  ['a message that no consumer got', { delivered: stored.slice(1) }, /^not delivered: 0:0/],
  [
    'a committed offset that went back',
    {
      committed: [
        { queueId: 0, offset: 2 },
        { queueId: 0, offset: 1 }
      ]
    },
    /^committed offset fell: queue 0: from 2 to 1/
  ]
]

for (const [name, change, violation] of broken) {
  t.test(`${name} is found`, async t => {
    const { violations } = check({ ...good, ...change })
    t.ok(
      violations.some(text => violation.test(text)),
      violations.join('\n')
    )
  })
}

t.test('the longest gap is looked for from a moment on', async t => {
  const late = { lane: 1, sequence: 1, queueId: 1, queueOffset: 1, atMs: 34 }
  t.equal(longestGap([...acknowledged, late], 0), 10)
  t.equal(longestGap([...acknowledged, late], 30), 4)
  t.equal(longestGap(acknowledged, 30), 0)
})
