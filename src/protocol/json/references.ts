import { ProtocolError } from '../errors.ts'
import { type JsonObject, type JsonValue, ObjectKeyed } from './value.ts'

/**
 * Resolves fastjson's back references (remoting.md 3.0): `{"$ref":"$"}` the root, `$.a.b` a path, `$[0]` a list index, `..` the parent,
 * `@` the object itself. Characters of a key that have a meaning in a path are escaped with a backslash. What leads nowhere becomes null.
 *
 * A value may be referred to often, and those that refer to it too: a small body could say millions of values. Throws ProtocolError
 * LMQ_BAD_BODY when there are more than VALUES_MAX with each reference counted as what it stands for, or as many look-ups.
 */
export function resolveReferences(root: JsonValue): JsonValue {
  const resolved = new Resolver(root).resolve(root, [])
  count(resolved, 0, { left: VALUES_MAX })
  return resolved
}

const VALUES_MAX = 1_000_000
/** Behind it values are not read; a circle ends here. */
const DEPTH_MAX = 64

function count(value: JsonValue, depth: number, budget: { left: number }): void {
  spend(budget, 1)
  if (typeof value !== 'object' || value === null || depth > DEPTH_MAX) return
  if (Array.isArray(value)) for (const item of value) count(item, depth + 1, budget)
  else if (value instanceof ObjectKeyed)
    for (const [key, item] of value.entries) {
      count(key, depth + 1, budget)
      count(item, depth + 1, budget)
    }
  else for (const key in value) count(value[key]!, depth + 1, budget)
}

function spend(budget: { left: number }, steps: number): void {
  budget.left -= steps
  if (budget.left < 0)
    throw new ProtocolError('LMQ_BAD_BODY', `references to more than ${VALUES_MAX} values`)
}

/** A chain of references longer than this leads in a circle. */
const HOPS_MAX = 16

class Resolver {
  readonly #root: JsonValue
  readonly #budget = { left: VALUES_MAX }

  constructor(root: JsonValue) {
    this.#root = root
  }

  resolve(value: JsonValue, parents: JsonValue[]): JsonValue {
    if (typeof value !== 'object' || value === null) return value
    const path = referencePath(value)
    if (path !== null) return this.#follow(path, parents, 0)
    const here = [...parents, value]
    if (Array.isArray(value)) {
      for (let i = 0; i < value.length; i++) value[i] = this.resolve(value[i]!, here)
    } else if (value instanceof ObjectKeyed) {
      for (const entry of value.entries) {
        entry[0] = this.#key(entry[0], here)
        entry[1] = this.resolve(entry[1], here)
      }
    } else {
      for (const key of Object.keys(value)) value[key] = this.resolve(value[key]!, here)
    }
    return value
  }

  /** A key may be a reference to an entry of another map: then the path names the key that is meant. */
  #key(key: JsonValue, parents: JsonValue[]): JsonValue {
    const path = typeof key === 'object' && key !== null ? referencePath(key) : null
    if (path === null) return this.resolve(key, parents)
    return messageQueueOfText(segmentsOf(path).at(-1) ?? '') ?? this.#follow(path, parents, 0)
  }

  #follow(path: string, parents: JsonValue[], hops: number): JsonValue {
    if (path === '..') return parents.at(-2) ?? null
    if (path === '@') return parents.at(-1) ?? null
    let value: JsonValue = this.#root
    for (const segment of segmentsOf(path)) {
      spend(this.#budget, value instanceof ObjectKeyed ? value.entries.length : 1)
      if (typeof value !== 'object' || value === null) return null
      if (Array.isArray(value)) value = value[Number(segment)] ?? null
      else if (value instanceof ObjectKeyed)
        value = value.entries.find(([key]) => textOfKey(key) === segment)?.[1] ?? null
      else value = value[segment] ?? null
    }
    if (typeof value !== 'object' || value === null) return value
    const next = referencePath(value)
    if (next === null) return value
    return hops === HOPS_MAX ? null : this.#follow(next, parents, hops + 1)
  }
}

function referencePath(value: JsonValue): string | null {
  if (
    typeof value !== 'object' ||
    value === null ||
    Array.isArray(value) ||
    value instanceof ObjectKeyed
  )
    return null
  const path = value['$ref']
  return typeof path === 'string' && Object.keys(value).length === 1 ? path : null
}

function segmentsOf(path: string): string[] {
  const segments: string[] = []
  let segment = ''
  const push = (): void => {
    if (segment !== '') segments.push(segment)
    segment = ''
  }
  for (let at = path.startsWith('$') ? 1 : 0; at < path.length; at++) {
    const character = path[at]!
    if (character === '\\' && at + 1 < path.length) segment += path[++at]
    else if (character === '.' || character === '[' || character === ']') push()
    else segment += character
  }
  push()
  return segments
}

/** As Java prints a map key: text as it is, a queue as `MessageQueue [topic=T, brokerName=b, queueId=0]`. */
function textOfKey(key: JsonValue): string {
  if (typeof key !== 'object' || key === null || Array.isArray(key) || key instanceof ObjectKeyed)
    return String(key)
  return `MessageQueue [topic=${String(key['topic'])}, brokerName=${String(key['brokerName'])}, queueId=${String(key['queueId'])}]`
}

function messageQueueOfText(text: string): JsonObject | null {
  const parts = /^MessageQueue \[topic=(.*), brokerName=(.*), queueId=(-?\d+)\]$/.exec(text)
  return parts === null
    ? null
    : { topic: parts[1]!, brokerName: parts[2]!, queueId: Number(parts[3]) }
}
