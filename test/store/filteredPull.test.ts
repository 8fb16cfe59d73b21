import t from 'tap'
import { decodeStoredMessage } from '../../src/protocol/index.ts'
import type { MessageFilter, Store } from '../../src/store/index.ts'
import { bodies, message, openLeader, pull, Waiter } from './helpers.ts'

/** Lets messages with certain bodies pass; each look costs `cost`. */
class BodyFilter implements MessageFilter {
  work = 0
  looks = 0
  readonly #passes: (body: string) => boolean
  readonly #cost: number

  constructor(passes: (body: string) => boolean, cost = 1) {
    this.#passes = passes
    this.#cost = cost
  }

  matches(bytes: Buffer, at: number): boolean {
    this.work += this.#cost
    this.looks += 1
    return this.#passes(decodeStoredMessage(bytes, at).body.toString())
  }
}

const even = (body: string): boolean => Number(body.slice(1)) % 2 === 0

async function fill(store: Store, count: number, from = 0): Promise<Waiter[]> {
  const waiters = Array.from({ length: count }, () => new Waiter())
  for (const [i, waiter] of waiters.entries()) {
    const refusal = store.append(message('T', 0, `m${from + i}`), waiter)
    if (refusal !== null) throw new Error(refusal)
  }
  await Promise.all(waiters.map(waiter => waiter.ended))
  return waiters
}

t.test(
  'only what passes is answered, and the next offset is behind what was looked at',
  async t => {
    const { store } = await openLeader(t.testdir())
    await fill(store, 6)
    await fill(store, 6, 6)
    const result = await pull(store, { filter: new BodyFilter(even) })
    t.match(result, { status: 'FOUND', messageCount: 6, nextBeginOffset: 12, maxOffset: 12 })
    t.strictSame(bodies(result), ['m0', 'm2', 'm4', 'm6', 'm8', 'm10'])
    t.equal(
      result.bytes,
      result.chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    )
    const neighbours = await pull(store, { filter: new BodyFilter(body => body.length === 2) })
    t.equal(neighbours.messageCount, 10)
    t.equal(neighbours.chunks.length, 2, 'neighbours leave as one view')
    t.match(await pull(store, { filter: new BodyFilter(() => false), offset: 3 }), {
      status: 'NO_MATCHED_MESSAGE',
      nextBeginOffset: 12,
      chunks: []
    })
    t.match(await pull(store, { filter: new BodyFilter(even), offset: 12 }), {
      status: 'OFFSET_OVERFLOW_ONE',
      nextBeginOffset: 12
    })
    t.match(await pull(store, { filter: new BodyFilter(even), maxMessages: 2, offset: 1 }), {
      messageCount: 2,
      nextBeginOffset: 5
    })
    await store.stop()
  }
)

t.test('the answer ends at the limits of the store', async t => {
  const { store } = await openLeader(t.testdir(), {
    pullLimits: { memoryCount: 3, memoryBytes: 100_000, filterUnits: 10 }
  })
  await fill(store, 40)
  const all = () => new BodyFilter(() => true)
  t.match(await pull(store, { filter: all() }), { messageCount: 3, nextBeginOffset: 3 })
  t.match(await pull(store, { filter: all(), maxBytes: 1 }), {
    messageCount: 1,
    nextBeginOffset: 1
  })
  const none = new BodyFilter(() => false)
  t.match(await pull(store, { filter: none, maxMessages: 5 }), { nextBeginOffset: 10 })
  t.equal(none.looks, 10, 'units of one pull')
  t.match(await pull(store, { filter: new BodyFilter(() => false, 300_000), maxMessages: 5 }), {
    status: 'NO_MATCHED_MESSAGE',
    nextBeginOffset: 2
  })
  await store.stop()
})

t.test('what is not in memory comes from the files, and is the same', async t => {
  const directory = t.testdir()
  const { store, log, state } = await openLeader(directory, { consumeQueueFileBytes: 300 * 20 })
  for (let i = 0; i < 10; i++) await fill(store, 100, i * 100)
  await store.stop()
  log.inMemory = false
  const again = await openLeader(directory, { log, state, consumeQueueFileBytes: 300 * 20 })
  const rare = (body: string): boolean => Number(body.slice(1)) % 7 === 0
  const seen: string[] = []
  let offset = 0
  while (offset < 1_000) {
    const result = await pull(again.store, { offset, filter: new BodyFilter(rare) })
    if (result.nextBeginOffset <= offset) throw new Error(`stands still at ${offset}`)
    seen.push(...bodies(result))
    offset = result.nextBeginOffset
  }
  const wanted = Array.from({ length: 143 }, (_, i) => `m${i * 7}`)
  t.strictSame(seen, wanted)
  const looks = new BodyFilter(() => false)
  await pull(again.store, { filter: looks })
  t.equal(looks.looks, 8, 'so many reads from the disk for one pull')
  t.ok(again.store.counters.getFromDisk > 0)
  await again.store.stop()
})

t.test(
  'a trimmed place is passed, a damaged one an error, and what is before it is served',
  async t => {
    const { store, log } = await openLeader(t.testdir())
    const first = await fill(store, 3)
    const second = await fill(store, 3, 3)
    log.inMemory = false
    log.damagedFrom = second[0]!.physicalOffset
    const filter = new BodyFilter(even)
    t.strictSame(bodies(await pull(store, { filter })), ['m0', 'm2'])
    t.match(await pull(store, { filter }), { nextBeginOffset: 3 })
    t.match(await pull(store, { filter: new BodyFilter(() => false) }), {
      status: 'NO_MATCHED_MESSAGE',
      nextBeginOffset: 3
    })
    await t.rejects(pull(store, { filter, offset: 3 }), /nothing to read/)
    log.repair = Promise.resolve()
    t.match(await pull(store, { filter, patienceMs: 1_000 }), { nextBeginOffset: 3 })
    const patient = await pull(store, { filter, offset: 3, patienceMs: 1_000 })
    t.match(patient, { status: 'FOUND', nextBeginOffset: 6 })
    log.startPosition = first[2]!.physicalOffset + 1
    t.match(await pull(store, { filter }), { status: 'MESSAGE_WAS_REMOVING', nextBeginOffset: 1 })
    await store.stop()
  }
)

t.test(
  'arrivals are compared with filters, and what cannot be looked at counts as a match',
  async t => {
    const { store, log } = await openLeader(t.testdir())
    const seen: boolean[] = []
    const filter = new BodyFilter(even)
    store.onArrival(arrivals => {
      for (const arrival of arrivals) seen.push(store.arrivedMatches(arrival, filter))
    })
    await fill(store, 1, 1)
    await fill(store, 1, 3)
    await fill(store, 1, 4)
    t.strictSame(seen, [false, false, true])
    t.equal(filter.looks, 3, 'only what is new is looked at')
    log.inMemory = false
    await fill(store, 1, 5)
    t.equal(seen.at(-1), true)
    await store.stop()
  }
)
