/**
 * A small linearizability checker (raft.md 5.5): each register by itself, by the search of Wing and Gong with Lowe's memory
 * of what was tried. An operation without an answer may have happened at any time after its call, or never.
 */
export interface Operation<Call> {
  /** Any clock that all callers share. */
  readonly callMs: number
  /** null: never answered. */
  readonly returnMs: number | null
  readonly call: Call
}

export interface Model<State, Call> {
  readonly initial: State
  /** The state after it, or null when its answer could not have been given in this state. */
  step(state: State, call: Call, answered: boolean): State | null
  key(state: State): string
}

export type Verdict = 'linearizable' | 'not linearizable' | 'too hard'

/** Beyond it a search gives up: no history of a working register comes near. */
const STEPS_MAX = 2_000_000

interface Pending<Call> {
  readonly operation: Operation<Call>
  readonly at: number
}

export function checkLinearizable<State, Call>(
  model: Model<State, Call>,
  operations: readonly Operation<Call>[]
): Verdict {
  const sorted = operations.map((operation, at) => ({ operation, at }))
  sorted.sort((a, b) => a.operation.callMs - b.operation.callMs)
  const answered = sorted.filter(({ operation }) => operation.returnMs !== null).length
  const done = new Uint8Array(operations.length)
  const tried = new Set<string>()
  let steps = 0

  /** `from`: everything before it in `sorted` is done. */
  const search = (state: State, from: number, left: number): boolean => {
    if (left === 0) return true
    if (++steps > STEPS_MAX) return false
    let first = from
    while (first < sorted.length && done[sorted[first]!.at] === 1) first += 1
    const memory = `${first}|${openDone(sorted, done, first)}|${model.key(state)}`
    if (tried.has(memory)) return false
    tried.add(memory)
    // Whatever comes next was called before the first answer among those that are left.
    let limitMs = Number.POSITIVE_INFINITY
    for (let i = first; i < sorted.length; i++) {
      const { operation, at } = sorted[i]!
      if (operation.callMs > limitMs) break
      if (done[at] === 1) continue
      limitMs = Math.min(limitMs, operation.returnMs ?? Number.POSITIVE_INFINITY)
    }
    for (let i = first; i < sorted.length; i++) {
      const { operation, at } = sorted[i]!
      if (operation.callMs > limitMs) break
      if (done[at] === 1) continue
      const isAnswered = operation.returnMs !== null
      const next = model.step(state, operation.call, isAnswered)
      if (next === null) continue
      done[at] = 1
      if (search(next, first, left - (isAnswered ? 1 : 0))) return true
      done[at] = 0
    }
    return false
  }
  if (search(model.initial, 0, answered)) return 'linearizable'
  return steps > STEPS_MAX ? 'too hard' : 'not linearizable'
}

/** Which operations behind `first` are done already. */
function openDone<Call>(sorted: readonly Pending<Call>[], done: Uint8Array, first: number): string {
  const ids: number[] = []
  for (let i = first; i < sorted.length; i++) if (done[sorted[i]!.at] === 1) ids.push(i)
  return ids.join()
}

export type RegisterCall =
  | { readonly kind: 'write'; readonly value: number }
  | { readonly kind: 'read'; readonly value: number }

export const registerModel: Model<number, RegisterCall> = {
  initial: 0,
  step: (state, { kind, value }) => (kind === 'write' ? value : value === state ? state : null),
  key: String
}

/**
 * Writes must have values of their own. A write without an answer whose value nobody ever read changes nothing for the
 * others: it is left out, so that many of them cost no search.
 */
export function checkRegister(operations: readonly Operation<RegisterCall>[]): Verdict {
  const read = new Set<number>()
  for (const { call } of operations) if (call.kind === 'read') read.add(call.value)
  const kept = operations.filter(({ returnMs, call }) => {
    return returnMs !== null || (call.kind === 'write' && read.has(call.value))
  })
  return checkLinearizable(registerModel, kept)
}

export type QueueCall =
  /** Stored at this offset. */
  | { readonly kind: 'send'; readonly offset: number }
  /** The queue's end: the next offset. */
  | { readonly kind: 'end'; readonly offset: number }

/** A queue as its end: a send takes the next offset, a question for the end gets exactly it. */
export const queueModel: Model<number, QueueCall> = {
  initial: 0,
  step: (state, { kind, offset }) => {
    if (offset !== state) return null
    return kind === 'send' ? state + 1 : state
  },
  key: String
}

/**
 * The same for a long queue of which everything that was stored is known, sends without an answer too: offsets say the
 * order then, and it only has to agree with the clock. Returns a contradiction, or null.
 */
export function checkQueue(operations: readonly Operation<QueueCall>[]): string | null {
  const place = ({ call }: Operation<QueueCall>): number =>
    call.kind === 'send' ? 2 * call.offset + 1 : 2 * call.offset
  const sorted = [...operations].sort((a, b) => place(b) - place(a))
  let sends = 0
  for (const { call } of sorted) if (call.kind === 'send') sends += 1
  let next = sends
  /** Of all that must come later: the first answer. */
  let earliest: Operation<QueueCall> | null = null
  for (let at = 0; at < sorted.length; ) {
    let end = at
    while (end < sorted.length && place(sorted[end]!) === place(sorted[at]!)) end += 1
    const same = sorted.slice(at, end)
    const { kind, offset } = same[0]!.call
    if (kind === 'send' && same.length > 1) return `offset ${offset} was given ${same.length} times`
    if (kind === 'send' && offset !== --next) return `offset ${next} was given to nobody`
    if (offset > sends) return `the end was said to be ${offset}, ${sends} were sent`
    for (const operation of same) {
      if (earliest === null || operation.callMs <= earliest.returnMs!) continue
      return `${describe(operation)} was called after ${describe(earliest)} was answered`
    }
    for (const operation of same) {
      if (operation.returnMs === null) continue
      if (earliest === null || operation.returnMs < earliest.returnMs!) earliest = operation
    }
    at = end
  }
  return null
}

function describe({ call, callMs, returnMs }: Operation<QueueCall>): string {
  const what =
    call.kind === 'send' ? `the send to ${call.offset}` : `the question for the end ${call.offset}`
  return `${what} (${callMs} to ${returnMs ?? '?'} ms)`
}
