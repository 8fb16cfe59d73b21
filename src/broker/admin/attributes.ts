/** A change of attributes that is not possible; its text is the original's and goes to who asked. */
export class AttributeError extends Error {
  override readonly name = 'AttributeError'
}

/** One attribute: whether it may be set after the creation, and what is wrong with a value (null: nothing). */
export interface AttributeRule {
  readonly isChangeable: boolean
  problem(value: string): string | null
}

/** By key; one that is missing is not known. */
export type AttributeRules = Readonly<Record<string, AttributeRule>>

/** One of these. */
export function oneOf(values: readonly string[], isChangeable: boolean): AttributeRule {
  return {
    isChangeable,
    problem: value =>
      values.includes(value) ? null : `value is not in set: [${values.join(', ')}]`
  }
}

/** A whole number. */
export function wholeNumber(min: number, max: number): AttributeRule {
  return {
    isChangeable: true,
    problem(value) {
      const number = /^[+-]?\d{1,19}$/.test(value) ? Number(value) : Number.NaN
      if (Number.isNaN(number)) return `For input string: "${value}"`
      return number < min || number > max ? `value is not in range(${min}, ${max})` : null
    }
  }
}

/** Takes `+key=value,-key` apart, the form of request 17 (remoting.md 2.14). Throws AttributeError. */
export function parseAttributeChanges(text: string): Map<string, string> {
  const changes = new Map<string, string>()
  for (const part of text.split(',')) {
    const change = part.trim()
    if (change === '') continue
    const equals = change.indexOf('=')
    const key = equals < 0 ? change : change.slice(0, equals)
    if (equals >= 0 && !key.includes('+'))
      throw new AttributeError(`add/alter attribute format is wrong: ${key}`)
    if (equals < 0 && !key.includes('-'))
      throw new AttributeError(`delete attribute format is wrong: ${key}`)
    if (changes.has(key)) throw new AttributeError(`key duplication: ${key}`)
    changes.set(key, equals < 0 ? '' : change.slice(equals + 1))
  }
  return changes
}

/**
 * The attributes after the changes: `+key` sets, `-key` removes (5.3). `present` is undefined for what is being created. Throws AttributeError.
 */
export function alterAttributes(
  present: Readonly<Record<string, string>> | undefined,
  changes: Iterable<readonly [string, string]>,
  rules: AttributeRules
): Record<string, string> {
  const altered: Record<string, string> = { ...present }
  const seen = new Set<string>()
  for (const [signed, value] of changes) {
    const key = signed.slice(1)
    if (key === '' || key.includes('+') || key.includes('-'))
      throw new AttributeError('kv string format wrong.')
    if (seen.has(key)) throw new AttributeError(`alter duplication key. key: ${key}`)
    seen.add(key)
    const sets = signed.startsWith('+')
    if (present === undefined && !sets)
      throw new AttributeError(`only add attribute is supported while creating topic. key: ${key}`)
    if (!sets && !signed.startsWith('-')) throw new AttributeError(`wrong format key: ${key}`)
    if (!sets && !Object.hasOwn(altered, key))
      throw new AttributeError(`attempt to delete a nonexistent key: ${key}`)
    const rule = Object.hasOwn(rules, key) ? rules[key] : undefined
    if (rule === undefined) throw new AttributeError(`unsupported key: ${key}`)
    if (present !== undefined && !rule.isChangeable)
      throw new AttributeError(`attempt to update an unchangeable attribute. key: ${key}`)
    if (!sets) {
      delete altered[key]
      continue
    }
    const problem = rule.problem(value)
    if (problem !== null) throw new AttributeError(problem)
    altered[key] = value
  }
  return altered
}
