import { ProtocolError } from '../errors.ts'
import { javaDouble } from './javaDouble.ts'
import { type JsonValue, ObjectKeyed } from './value.ts'

/**
 * A JSON form: how a value is written as fastjson writes it (remoting.md 3.0: compact, keys of beans in alphabetical order, nulls left
 * out) and how it is read with the tolerance of the original (missing keys have defaults, numbers may be text, enumerations ordinals).
 */
export interface Form<T> {
  /** `undefined`: the key is missing. `path` is for messages. Throws ProtocolError LMQ_BAD_BODY. */
  read(value: JsonValue | undefined, path: string): T
  /** `undefined`: leave the key out. */
  write(value: T): string | undefined
}

/** A form whose key may be missing. */
export interface OptionalForm<T> extends Form<T | undefined> {
  readonly optional: true
}

/** The type that a form reads and writes. */
export type Of<F> = F extends Form<infer T> ? T : never

export const text = (byDefault = ''): Form<string> => ({
  read: (value, path) => (absent(value) ? byDefault : readText(value, path)),
  write: value => JSON.stringify(value)
})

/** Integers of any width; exact within ±2^53. */
export const integer = (byDefault = 0): Form<number> => ({
  read: (value, path) => (absent(value) ? byDefault : readNumber(value, path)),
  write: value => integerText(value)
})

export const double = (byDefault = 0): Form<number> => ({
  read: (value, path) => (absent(value) ? byDefault : readNumber(value, path)),
  write: javaDouble
})

export const boolean = (byDefault = false): Form<boolean> => ({
  read: (value, path) => {
    if (absent(value)) return byDefault
    if (typeof value === 'boolean') return value
    if (value === 1 || value === 'true') return true
    if (value === 0 || value === 'false') return false
    throw bad(path, 'a boolean')
  },
  write: String
})

/**
 * An enumeration by its names in the order of their ordinals. Read as fastjson reads it: in any case, ordinals too, and what is unknown as
 * if it were missing, so that a newer client's word does not cost the whole body.
 */
export function enumeration<const N extends string>(names: readonly N[], byDefault: N): Form<N> {
  const byName = new Map<JsonValue, N>()
  for (const [ordinal, name] of names.entries())
    byName.set(name, name).set(name.toLowerCase(), name).set(ordinal, name)
  return {
    read(value, path) {
      if (absent(value)) return byDefault
      if (typeof value === 'object') throw bad(path, `one of ${names.join(', ')}`)
      return byName.get(value) ?? byName.get(String(value).toLowerCase()) ?? byDefault
    },
    write: value => JSON.stringify(value)
  }
}

/** A list or set; missing reads as empty. */
export function list<T>(item: Form<T>): Form<T[]> {
  return {
    read(value, path) {
      if (absent(value)) return []
      if (!Array.isArray(value)) throw bad(path, 'a list')
      return value.map((entry, i) => item.read(entry, `${path}[${i}]`))
    },
    write: value => `[${value.map(entry => item.write(entry) ?? 'null').join(',')}]`
  }
}

/** A map with text keys, in its order; missing reads as empty. */
export function mapOf<T>(item: Form<T>): Form<Map<string, T>> {
  return {
    read(value, path) {
      const map = new Map<string, T>()
      for (const [key, entry] of entriesOf(value, path)) {
        const name = typeof key === 'string' ? key : String(key)
        map.set(name, item.read(entry, `${path}.${name}`))
      }
      return map
    },
    write(value) {
      const parts: string[] = []
      for (const [key, entry] of value) {
        const written = item.write(entry)
        if (written !== undefined) parts.push(`${JSON.stringify(key)}:${written}`)
      }
      return `{${parts.join(',')}}`
    }
  }
}

/** A map with integer keys. `bare` as the original writes them, `quoted` where the body must be JSON for everybody; both are read. */
export function integerMapOf<T>(item: Form<T>, keys: 'bare' | 'quoted'): Form<Map<number, T>> {
  const quote = keys === 'quoted' ? '"' : ''
  return {
    read(value, path) {
      const map = new Map<number, T>()
      for (const [key, entry] of entriesOf(value, path)) {
        const number = readNumber(key, `a key of ${path}`)
        map.set(number, item.read(entry, `${path}.${number}`))
      }
      return map
    },
    write(value) {
      const parts: string[] = []
      for (const [key, entry] of value) {
        const written = item.write(entry)
        if (written !== undefined) parts.push(`${quote}${key}${quote}:${written}`)
      }
      return `{${parts.join(',')}}`
    }
  }
}

export function optional<T>(form: Form<T>): OptionalForm<T> {
  return {
    optional: true,
    read: (value, path) => (absent(value) ? undefined : form.read(value, path)),
    write: value => (value === undefined ? undefined : form.write(value))
  }
}

/** Key and value pairs of a map, whatever its keys are written as. */
export function entriesOf(
  value: JsonValue | undefined,
  path: string
): [key: JsonValue, value: JsonValue][] {
  if (absent(value)) return []
  if (value instanceof ObjectKeyed) return value.entries
  if (typeof value !== 'object' || Array.isArray(value)) throw bad(path, 'a map')
  return Object.entries(value)
}

export function absent(value: JsonValue | undefined): value is null | undefined {
  return value === null || value === undefined
}

export function bad(path: string, wanted: string): ProtocolError {
  return new ProtocolError('LMQ_BAD_BODY', `${path} is not ${wanted}`)
}

function readText(value: JsonValue, path: string): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  throw bad(path, 'a text')
}

function readNumber(value: JsonValue, path: string): number {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  if (typeof number !== 'number' || !Number.isFinite(number)) throw bad(path, 'a number')
  return number
}

function integerText(value: number): string {
  // Above 2^53 a number stands for a Java long, which must not be written with an exponent or beyond its range.
  if (Number.isSafeInteger(value)) return String(value)
  if (value >= 2 ** 63) return '9223372036854775807'
  if (value <= -(2 ** 63)) return '-9223372036854775808'
  return BigInt(Math.trunc(value)).toString()
}
