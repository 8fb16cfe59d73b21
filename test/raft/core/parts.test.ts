import t from 'tap'
import { entryPosition } from '../../../src/raft/core/index.ts'
import { Tail } from '../../../src/raft/core/tail.ts'
import { TermMap } from '../../../src/raft/core/termMap.ts'
import { Chance, Coverage, Simulation } from './simulate.ts'

t.test('the terms of a log', async t => {
  const filled = (): TermMap => {
    const terms = new TermMap(10, 2)
    terms.append(12, 2)
    terms.append(15, 4)
    terms.append(20, 7)
    return terms
  }

  t.test('every index has the term it was appended with, what is outside has none', async t => {
    const terms = filled()
    const seen = Array.from({ length: 13 }, (_, at) => terms.termAt(9 + at))
    t.same(seen, [0, 2, 2, 2, 4, 4, 4, 7, 7, 7, 7, 7, 0])
    t.equal(terms.lastTerm, 7)
  })

  t.test(
    'a search finds the greatest index not behind the one asked with a term not above',
    async t => {
      const terms = filled()
      t.equal(terms.findAtMost(20, 7), 20)
      t.equal(terms.findAtMost(18, 9), 18)
      t.equal(terms.findAtMost(18, 6), 15)
      t.equal(terms.findAtMost(18, 4), 15)
      t.equal(terms.findAtMost(18, 3), 12)
      t.equal(terms.findAtMost(14, 4), 14)
      t.equal(terms.findAtMost(18, 1), 10, 'nothing known is old enough: the start')
      t.equal(terms.findAtMost(99, 7), 20, 'not behind the end')
      t.equal(terms.findAtMost(3, 7), 10, 'not before the start')
    }
  )

  t.test(
    'a term that was guessed is corrected, for what follows on the same guess too',
    async t => {
      const seen = (terms: TermMap): number[] =>
        Array.from({ length: 10 }, (_, at) => terms.termAt(11 + at))
      // 13 to 15 are known to be of term 4; what stands at 17 to 18 was lost, and taken for term 4 like the ones before.
      const terms = filled()
      terms.cutFrom(16)
      terms.append(18, 4)
      terms.append(20, 7)
      terms.correct(17, 6)
      t.same(seen(terms), [2, 2, 4, 4, 4, 4, 6, 6, 7, 7])
      terms.correct(18, 7)
      t.same(seen(terms), [2, 2, 4, 4, 4, 4, 6, 7, 7, 7])
      terms.correct(18, 5)
      terms.correct(13, 4)
      t.same(seen(terms), [2, 2, 4, 4, 4, 4, 6, 7, 7, 7], 'never to an older term')
      terms.correct(17, 7)
      t.same(seen(terms), [2, 2, 4, 4, 4, 4, 7, 7, 7, 7])
      t.equal(terms.findAtMost(20, 6), 16)
      terms.cutFrom(17)
      t.equal(terms.lastTerm, 4)
      t.throws(() => filled().correct(13, 9))
    }
  )

  t.test('a search agrees with a walk over every entry, on random logs', async t => {
    const chance = new Chance(7)
    const wrong: string[] = []
    for (let round = 0; round < 300; round++) {
      const start = chance.below(5)
      const terms = new TermMap(start, start === 0 ? 0 : 1)
      const list = new Map<number, number>([[start, start === 0 ? 0 : 1]])
      let term = 1
      for (let index = start + 1; index < start + 20; index++) {
        term += chance.below(3) === 0 ? 1 + chance.below(3) : 0
        terms.append(index, term)
        list.set(index, term)
      }
      const asked = start + chance.below(20)
      const limit = 1 + chance.below(term + 1)
      let walked = asked
      while (walked > start && (list.get(walked) as number) > limit) walked--
      const found = terms.findAtMost(asked, limit)
      if (found !== walked) wrong.push(`round ${round}: found ${found}, walked to ${walked}`)
      const cut = start + 1 + chance.below(19)
      terms.cutFrom(cut)
      if (terms.lastIndex !== cut - 1 || terms.lastTerm !== list.get(cut - 1))
        wrong.push(`round ${round}: cut at ${cut} leaves ${terms.lastIndex} of ${terms.lastTerm}`)
    }
    t.same(wrong, [])
  })

  t.test('a cut and a trim keep what is between them', async t => {
    const terms = filled()
    terms.cutFrom(17)
    t.equal(terms.lastIndex, 16)
    t.equal(terms.lastTerm, 7)
    terms.cutFrom(16)
    t.equal(terms.lastTerm, 4)
    terms.trimTo(13)
    t.same(
      [12, 13, 14, 15, 16].map(index => terms.termAt(index)),
      [0, 4, 4, 4, 0]
    )
    terms.append(16, 9)
    t.equal(terms.termAt(16), 9)
    t.throws(() => terms.append(17, 8), /term 8 behind/)
    t.throws(() => terms.cutFrom(13), /cut at 13/)
    t.throws(() => terms.trimTo(17), /trim to 17/)
  })
})

t.test('the tail knows the newest entries within its limits', async t => {
  const tail = new Tail(5, 1000, 3)
  tail.push(0, 400)
  tail.push(400, 400)
  t.ok(tail.has(5) && tail.has(6) && !tail.has(7))
  t.equal(tail.endAt(6), 800)
  tail.push(800, 300)
  t.notOk(tail.has(5), 'more than 1000 bytes')
  tail.push(1100, 10)
  tail.push(1110, 10)
  t.same(
    [5, 6, 7, 8, 9].map(index => tail.has(index)),
    [false, false, true, true, true]
  )
  tail.cutFrom(8)
  t.same(
    [7, 8].map(index => tail.has(index)),
    [true, false]
  )
  tail.push(1100, 50)
  t.equal(tail.sizeAt(8), 50)
  tail.cutFrom(2)
  t.notOk(tail.has(2))
  tail.push(90, 5000)
  t.equal(tail.endAt(2), 5090, 'the newest one stays, however large')
})

t.test('many entries go through a tail without it growing', async t => {
  const tail = new Tail(1, 1 << 30, 100)
  for (let index = 1; index <= 10_000; index++) tail.push(index * 64, 64)
  t.equal(tail.firstIndex, 9901)
  t.equal(tail.positionAt(9901), 9901 * 64)
  t.equal(tail.endAt(10_000), 10_001 * 64)
})

t.test(
  'an entry goes to the next segment when it does not leave room for a blank record',
  async t => {
    t.equal(entryPosition(0, 4088, 4096), 0, 'leaves exactly 8 bytes')
    t.equal(entryPosition(100, 3988, 4096), 100)
    t.equal(entryPosition(100, 3989, 4096), 4096)
    t.equal(entryPosition(4096 + 4000, 100, 4096), 8192)
  }
)

t.test('the same events give the same effects', async t => {
  const run = (): string => {
    const simulation = new Simulation({ seed: 4711, steps: 3000, traced: true }, new Coverage())
    simulation.run()
    return simulation.trace.join('\n')
  }
  const first = run()
  t.ok(first.length > 10_000)
  t.equal(run(), first)
})
