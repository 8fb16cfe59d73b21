import { z } from 'zod'
import type { KeySpec } from './keys.ts'
import { type ConfigValues, defaultValues, keySpec } from './table.ts'

/** One or more values of a properties file are not allowed; `problems` has a sentence for each. */
export class ConfigError extends Error {
  readonly code = 'LMQ_CONFIG'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.name = 'ConfigError'
    this.problems = problems
  }
}

export interface ParsedConfig {
  values: ConfigValues
  /** Names that no table knows, in the file's order. The original ignores them; so do we, but say so once. */
  unknown: string[]
  /** Names that were set. */
  given: Set<string>
  /** Names that were set to another value than their default, and on which nothing depends. */
  withoutEffect: string[]
}

const wholeNumber = /^[+-]?\d+$/

/** A number on which nothing depends may be any: nobody is kept from starting by the size of a thread pool that is not there. */
function smallest(spec: KeySpec): number {
  return hasEffect(spec) ? (spec.min ?? 0) : Number.MIN_SAFE_INTEGER
}

function largest(spec: KeySpec): number {
  return (hasEffect(spec) ? spec.max : undefined) ?? Number.MAX_SAFE_INTEGER
}

function hasEffect(spec: KeySpec): boolean {
  return spec.effect === 'now' || spec.effect === 'start'
}

function schemaOf(spec: KeySpec): z.ZodType<boolean | number | string, string> {
  switch (spec.type) {
    case 'boolean':
      return z
        .string()
        .toLowerCase()
        .pipe(z.enum(['true', 'false']))
        .transform(text => text === 'true')
    case 'int':
    case 'long':
      return z
        .string()
        .regex(wholeNumber)
        .transform(Number)
        .pipe(z.number().min(smallest(spec)).max(largest(spec)))
    case 'enum':
      return z.enum([...(spec.values ?? [])])
    case 'string':
      return z.string()
  }
}

/** What a key takes, for messages: "a whole number from 1 to 10", "one of A, B". */
export function allowedValues(spec: KeySpec): string {
  switch (spec.type) {
    case 'boolean':
      return 'true or false'
    case 'int':
    case 'long':
      return `a whole number from ${smallest(spec)} to ${largest(spec)}`
    case 'enum':
      return `one of ${(spec.values ?? []).join(', ')}`
    case 'string':
      return 'a text'
  }
}

const schemas = new Map<KeySpec, z.ZodType<boolean | number | string, string>>()

/** The value of a key from its text, or a sentence about what is wrong with it. */
export function parseValue(
  name: string,
  spec: KeySpec,
  text: string
): { value: boolean | number | string } | { problem: string } {
  let schema = schemas.get(spec)
  if (schema === undefined) {
    schema = schemaOf(spec)
    schemas.set(spec, schema)
  }
  const result = schema.safeParse(text.trim())
  if (result.success) return { value: result.data }
  return { problem: `${name} = ${text.trim()}: use ${allowedValues(spec)}` }
}

/** Whether a value is another one than the default although nothing depends on it. */
export function isWithoutEffect(spec: KeySpec, value: boolean | number | string): boolean {
  return !hasEffect(spec) && value !== spec.default
}

/**
 * The settings that stand in a properties file, over `defaults` (what the launcher knows: host name, environment),
 * over the tables' defaults. Throws ConfigError with every wrong value at once.
 */
export function parseConfig(
  entries: Iterable<readonly [string, string]>,
  defaults: Partial<ConfigValues> = {}
): ParsedConfig {
  const values: ConfigValues = { ...defaultValues(), ...defaults }
  const target = values as unknown as Record<string, boolean | number | string>
  const unknown: string[] = []
  const given = new Set<string>()
  const withoutEffect: string[] = []
  const problems: string[] = []
  for (const [name, text] of entries) {
    const spec = keySpec(name)
    if (spec === undefined) {
      unknown.push(name)
      continue
    }
    const parsed = parseValue(name, spec, text)
    if ('problem' in parsed) {
      problems.push(parsed.problem)
      continue
    }
    target[name] = parsed.value
    given.add(name)
    if (isWithoutEffect(spec, parsed.value)) withoutEffect.push(name)
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return { values, unknown, given, withoutEffect }
}
