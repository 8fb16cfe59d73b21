import t from 'tap'
import {
  checkLinearizable,
  checkQueue,
  checkRegister,
  type Operation,
  type QueueCall,
  queueModel,
  type RegisterCall
} from './linear.ts'
import { parseRanges, showRanges, shrinkCount, shrinkList } from './shrink.ts'

type Row = [callMs: number, returnMs: number | null, kind: 'write' | 'read', value: number]

function register(...rows: Row[]): Operation<RegisterCall>[] {
  return rows.map(([callMs, returnMs, kind, value]) => ({
    callMs,
    returnMs,
    call: { kind, value }
  }))
}

t.test('right histories of a register are taken for right', t => {
  t.equal(checkRegister([]), 'linearizable')
  t.equal(checkRegister(register([0, 1, 'read', 0], [2, 3, 'write', 7])), 'linearizable')
  t.equal(
    checkRegister(register([0, 10, 'write', 1], [1, 2, 'read', 1], [3, 4, 'read', 1])),
    'linearizable',
    'a read sees a write that is under way'
  )
  t.equal(
    checkRegister(register([0, 10, 'write', 1], [1, 2, 'read', 0], [3, 4, 'read', 1])),
    'linearizable'
  )
  t.equal(
    checkRegister(register([0, 1, 'write', 1], [2, null, 'write', 2], [3, 4, 'read', 1])),
    'linearizable',
    'no answer, never happened'
  )
  t.equal(
    checkRegister(
      register([0, null, 'write', 2], [1, 2, 'write', 1], [3, 4, 'read', 1], [50, 51, 'read', 2])
    ),
    'linearizable',
    'no answer, happened late'
  )
  t.end()
})

t.test('wrong histories of a register are found', t => {
  const wrong: Record<string, Row[]> = {
    'a read of what nobody wrote': [[0, 1, 'read', 5]],
    'a stale read': [
      [0, 1, 'write', 1],
      [2, 3, 'write', 2],
      [4, 5, 'read', 1]
    ],
    'a lost write': [
      [0, 1, 'write', 1],
      [2, 3, 'read', 0]
    ],
    'new, then old': [
      [0, 10, 'write', 1],
      [1, 2, 'read', 1],
      [3, 4, 'read', 0]
    ],
    'two readers that disagree on the order of two writes': [
      [0, 10, 'write', 1],
      [0, 10, 'write', 2],
      [11, 12, 'read', 1],
      [13, 14, 'read', 2]
    ],
    'seen before it was called': [
      [0, 1, 'read', 9],
      [2, 3, 'write', 9]
    ],
    'without an answer, and yet seen, gone and seen again': [
      [0, null, 'write', 9],
      [1, 2, 'read', 9],
      [3, 4, 'write', 1],
      [5, 6, 'read', 9],
      [7, 8, 'read', 1]
    ]
  }
  for (const [what, rows] of Object.entries(wrong))
    t.equal(checkRegister(register(...rows)), 'not linearizable', what)
  t.end()
})

t.test('a single changed answer in a long history of several clients is found', t => {
  let state = 12_345
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return Math.floor((state / 0x1_0000_0000) * below)
  }
  const history = register()
  let value = 0
  for (let at = 0, next = 1; history.length < 400; at += 5) {
    const kind = random(2) === 0 ? 'write' : 'read'
    if (kind === 'write') value = next++
    const lost = kind === 'write' && random(8) === 0
    const returnMs = lost ? null : at + 2 + random(20)
    // Its moment is `at`: it was called before and answered after.
    history.push({ callMs: at - random(20), returnMs, call: { kind, value } })
  }
  t.equal(checkRegister(history), 'linearizable')
  const reads = history.filter(({ call }) => call.kind === 'read').filter((_, i) => i % 10 === 0)
  let found = 0
  for (const changed of reads) {
    const call: RegisterCall = { kind: 'read', value: Math.max(0, changed.call.value - 12) }
    const other = history.map(operation =>
      operation === changed ? { ...changed, call } : operation
    )
    if (changed.call.value > 12 && checkRegister(other) === 'not linearizable') found += 1
  }
  t.ok(found > reads.length / 2, `${found} of ${reads.length} changed reads were found`)
  t.end()
})

t.test('sends and ends of a queue', t => {
  const queue = (...rows: [number, number | null, 'send' | 'end', number][]) =>
    rows.map(([callMs, returnMs, kind, offset]): Operation<QueueCall> => {
      return { callMs, returnMs, call: { kind, offset } }
    })
  const verdict = (operations: Operation<QueueCall>[]) => {
    const found = checkLinearizable(queueModel, operations)
    t.equal(checkQueue(operations) === null, found === 'linearizable', 'both checkers agree')
    return found
  }
  t.equal(verdict(queue([0, 5, 'send', 0], [1, 4, 'send', 1], [2, 3, 'end', 1])), 'linearizable')
  t.equal(
    verdict(queue([0, 1, 'send', 0], [2, 3, 'send', 0])),
    'not linearizable',
    'one offset twice'
  )
  t.equal(verdict(queue([0, 1, 'send', 1], [2, 3, 'send', 0])), 'not linearizable', 'out of order')
  t.equal(verdict(queue([0, 1, 'send', 0], [2, 3, 'end', 0])), 'not linearizable', 'a stale end')
  t.equal(verdict(queue([0, null, 'send', 0], [1, 2, 'send', 1])), 'linearizable')
  let seed = 99
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    return Math.floor((seed / 0x1_0000_0000) * below)
  }
  let right = 0
  for (let round = 0; round < 300; round++) {
    const rows: [number, number | null, 'send' | 'end', number][] = []
    const sends = 1 + random(4)
    for (let offset = 0; offset < sends; offset++) {
      const at = 4 * offset + random(8)
      rows.push([at - random(6), at + random(6), 'send', offset])
    }
    for (let i = random(3); i > 0; i--) {
      const at = random(20)
      rows.push([at - random(6), at + random(6), 'end', random(sends + 1)])
    }
    if (verdict(queue(...rows)) === 'linearizable') right += 1
  }
  t.ok(right > 30 && right < 270, `${right} of 300 are right`)
  t.end()
})

t.test('what is not needed to fail is left out', async t => {
  t.equal(await shrinkCount(1000, async n => n >= 137), 137)
  const items = Array.from({ length: 100 }, (_, i) => i)
  let plays = 0
  const fails = async (kept: readonly number[]): Promise<boolean> => {
    plays += 1
    return kept.includes(7) && kept.includes(60)
  }
  t.strictSame(await shrinkList(items, fails), [7, 60])
  t.ok(plays < 100, `${plays} plays`)
  t.strictSame(await shrinkList(items, async () => true), [])
  t.equal(showRanges([5, 1, 2, 3]), '1..3,5')
  t.strictSame(parseRanges('1..3,5'), [1, 2, 3, 5])
  t.throws(() => parseRanges('x'))
})
