/** What a key of the properties file takes. `long` is an integer below 2^53. */
export type KeyType = 'boolean' | 'int' | 'long' | 'enum' | 'string'

/** One key: what stands in the file, what is allowed, and what it does here. */
export interface KeySpec {
  readonly type: KeyType
  readonly default: boolean | number | string
  /** Smallest allowed number. */
  readonly min?: number
  /** Largest allowed number. */
  readonly max?: number
  /** The allowed names of an `enum`. */
  readonly values?: readonly string[]
  /**
   * `now`: takes effect as soon as it is changed by UPDATE_BROKER_CONFIG (25); `start`: read at the start only;
   * `none`: accepted and shown because RocketMQ's files and tools name it, but nothing here depends on it;
   * `missing`: the same, but another value than the default asks for something that is not here, and whoever set it must be told.
   */
  readonly effect: 'now' | 'start' | 'none' | 'missing'
  readonly doc: string
}

export type Keys = Readonly<Record<string, KeySpec>>

type ValueOf<S extends KeySpec> = S['type'] extends 'boolean'
  ? boolean
  : S['type'] extends 'int' | 'long'
    ? number
    : S extends { values: readonly (infer V)[] }
      ? V
      : string

/** The values of a table of keys, by RocketMQ's names. */
export type ValuesOf<K extends Keys> = { -readonly [N in keyof K]: ValueOf<K[N]> }

export function booleanKey<E extends KeySpec['effect']>(value: boolean, effect: E, doc: string) {
  return { type: 'boolean', default: value, effect, doc } as const
}

/** A whole number; `min` and `max` are inclusive. */
export function intKey<E extends KeySpec['effect']>(
  value: number,
  effect: E,
  doc: string,
  min = 0,
  max = 2_147_483_647
) {
  return { type: 'int', default: value, min, max, effect, doc } as const
}

/** A whole number up to 2^53 - 1. */
export function longKey<E extends KeySpec['effect']>(
  value: number,
  effect: E,
  doc: string,
  min = 0,
  max = Number.MAX_SAFE_INTEGER
) {
  return { type: 'long', default: value, min, max, effect, doc } as const
}

export function stringKey<E extends KeySpec['effect']>(value: string, effect: E, doc: string) {
  return { type: 'string', default: value, effect, doc } as const
}

/** What stands in the table for a key whose default is a V. */
export interface SpecOf<V> extends KeySpec {
  readonly type: V extends boolean ? 'boolean' : V extends number ? 'long' : 'string'
}

type SpecsOf<T> = { readonly [N in keyof T]: SpecOf<T[N]> }

type Defaults = Readonly<Record<string, boolean | number | string>>

function keysOf<T extends Defaults>(doc: string, effect: 'none' | 'missing', defaults: T) {
  const keys: Record<string, KeySpec> = {}
  for (const [name, value] of Object.entries(defaults))
    keys[name] =
      typeof value === 'number'
        ? longKey(value, effect, doc)
        : typeof value === 'boolean'
          ? booleanKey(value, effect, doc)
          : stringKey(value, effect, doc)
  return keys as SpecsOf<T>
}

/** Keys with their defaults that share one reason why nothing here depends on them. A fraction is kept as its text. */
export function keysWithoutEffect<const T extends Defaults>(doc: string, defaults: T): SpecsOf<T> {
  return keysOf(doc, 'none', defaults)
}

/** Keys with their defaults that ask for something that is not here. */
export function keysNotHonoured<const T extends Defaults>(doc: string, defaults: T): SpecsOf<T> {
  return keysOf(doc, 'missing', defaults)
}

export function enumKey<const V extends readonly string[], E extends KeySpec['effect']>(
  values: V,
  value: V[number],
  effect: E,
  doc: string
) {
  return { type: 'enum', values, default: value, effect, doc } as const
}
