import t from 'tap'
import { NONE, Pace, type Schedule, Slots, scheduleOf, slotsOf } from '../../bench/slots.ts'

/** A send is due each 10 µs, by two connections in turn. */
const schedule: Schedule = { firstUs: 1000, intervalUs: 10, connections: 2 }

t.test('a closed loop takes a slot again as soon as it is free', async t => {
  const slots = new Slots(2, null)
  t.same([slots.take(5), slots.take(6), slots.take(7)], [0, 1, NONE])
  t.equal(slots.release(1), 6, 'it began when it was taken')
  t.equal(slots.take(8), 1)
  t.equal(slots.take(8), NONE)
})

t.test('slots come back in the order in which they became free', async t => {
  const slots = new Slots(3, null)
  for (let i = 0; i < 3; i += 1) slots.take(0)
  for (const slot of [2, 0, 1]) slots.release(slot)
  t.same([slots.take(1), slots.take(1), slots.take(1), slots.take(1)], [2, 0, 1, NONE])
})

t.test('the sends of an open loop are spread over its connections', async t => {
  const due = (connection: number): number[] => {
    const pace = new Pace(schedule, connection)
    return Array.from({ length: 4 }, () => pace.take(1045))
  }
  t.same(due(0), [1000, 1020, 1040, NONE])
  t.same(due(1), [1010, 1030, NONE, NONE])
})

t.test('a schedule that has not begun has nothing due', async t => {
  const unbegun = scheduleOf(1000, 1)
  t.equal(slotsOf(unbegun, 0, 1).take(Number.MAX_SAFE_INTEGER), NONE)
  t.equal(scheduleOf(0, 1), null)
  t.equal(slotsOf(null, 0, 1).take(0), 0)
})

t.test('an open loop sends nothing before it is due', async t => {
  const slots = new Slots(8, new Pace(schedule, 0))
  t.equal(slots.take(999), NONE)
  t.equal(slots.take(1003), 0)
  t.equal(slots.release(0), 1000, 'it counts from when it was due')
  t.equal(slots.take(1019), NONE, 'although slots are free')
})

t.test('what waits for a slot counts from when it was due', async t => {
  const slots = new Slots(1, new Pace(schedule, 0))
  slots.take(1000)
  // Everything stands still; five more become due meanwhile.
  t.equal(slots.take(1100), NONE)
  t.equal(slots.release(0), 1000)
  const began = Array.from({ length: 6 }, () => {
    const slot = slots.take(1100)
    return slot === NONE ? NONE : slots.release(slot)
  })
  t.same(began, [1020, 1040, 1060, 1080, 1100, NONE])
})
