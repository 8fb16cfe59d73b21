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
   * `none`: accepted and shown because RocketMQ's files and tools name it, but nothing here depends on it.
   */
  readonly effect: 'now' | 'start' | 'none'
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

export function enumKey<const V extends readonly string[], E extends KeySpec['effect']>(
  values: V,
  value: V[number],
  effect: E,
  doc: string
) {
  return { type: 'enum', values, default: value, effect, doc } as const
}
