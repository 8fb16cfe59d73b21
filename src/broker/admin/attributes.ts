/** A change of attributes that is not possible; its text goes to who asked. */
export class AttributeError extends Error {
  override readonly name = 'AttributeError'
}

/** What an attribute may be set to; a key that is missing is not known. */
export type AttributeRules = Readonly<Record<string, (value: string) => boolean>>

/** Takes `+key=value,-key` apart, the form of request 17 (remoting.md 2.14). Throws AttributeError. */
export function parseAttributeChanges(text: string): Map<string, string> {
  const changes = new Map<string, string>()
  for (const part of text.split(',')) {
    const change = part.trim()
    if (change === '') continue
    const equals = change.indexOf('=')
    const key = equals < 0 ? change : change.slice(0, equals)
    if (changes.has(key)) throw new AttributeError(`key ${key} is given twice`)
    changes.set(key, equals < 0 ? '' : change.slice(equals + 1))
  }
  return changes
}

/**
 * The attributes after the changes: `+key` sets, `-key` removes (5.3). Throws AttributeError for a key without a sign, one that is not
 * known or not there to be removed, and for a value that is not allowed.
 */
export function alterAttributes(
  present: Readonly<Record<string, string>>,
  changes: Iterable<readonly [string, string]>,
  rules: AttributeRules
): Record<string, string> {
  const altered: Record<string, string> = { ...present }
  for (const [signed, value] of changes) {
    if (!signed.startsWith('+') && !signed.startsWith('-'))
      throw new AttributeError(`only + to set and - to remove are possible: ${signed}`)
    const key = signed.slice(1)
    const rule = Object.hasOwn(rules, key) ? rules[key] : undefined
    if (rule === undefined) throw new AttributeError(`unsupported key: ${key}`)
    if (signed.startsWith('+')) {
      if (!rule(value)) throw new AttributeError(`value ${value} is not possible for ${key}`)
      altered[key] = value
    } else {
      if (!Object.hasOwn(altered, key))
        throw new AttributeError(`attempt to delete a nonexistent key: ${key}`)
      delete altered[key]
    }
  }
  return altered
}
