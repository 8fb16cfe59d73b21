import { ProtocolError } from '../errors.ts'
import { parseLenientJson } from './lenientJson.ts'
import { absent, bad, type Form, type Of, type OptionalForm } from './schema.ts'
import { type JsonObject, type JsonValue, ObjectKeyed } from './value.ts'

type Forms = Record<string, Form<unknown>>

/** An object's type from the forms of its fields; optional forms make optional fields. */
export type BeanOf<F extends Forms> = {
  [K in keyof F as F[K] extends OptionalForm<unknown> ? never : K]: Of<F[K]>
} & {
  [K in keyof F as F[K] extends OptionalForm<unknown> ? K : never]?: Of<F[K]> | undefined
}

/** The form of an object that is a body of its own, or a part of one. */
export interface Bean<T> extends Form<T> {
  /** An object with the original's defaults for what is not given. */
  of(given?: Partial<T>): T
  /** The body's bytes. */
  encode(value: T): Buffer
  /** Throws ProtocolError LMQ_BAD_BODY, also when there is no body. */
  decode(body: Buffer | string | null): T
}

export function bean<F extends Forms>(name: string, forms: F): Bean<BeanOf<F>> {
  type T = BeanOf<F>
  const keys = Object.keys(forms).sort((a, b) => (a < b ? -1 : 1))
  const prefixes = keys.map(key => `${JSON.stringify(key)}:`)
  const write = (value: T): string => {
    const fields = value as Record<string, unknown>
    let body = ''
    for (let i = 0; i < keys.length; i++) {
      const written = forms[keys[i]!]!.write(fields[keys[i]!])
      if (written !== undefined) body += `${body === '' ? '' : ','}${prefixes[i]}${written}`
    }
    return `{${body}}`
  }
  const readFields = (value: JsonObject, path: string): T => {
    const made: Record<string, unknown> = {}
    for (const key of keys) {
      const field = forms[key]!.read(value[key], `${path}.${key}`)
      if (field !== undefined) made[key] = field
    }
    return made as T
  }
  const read = (value: JsonValue | undefined, path: string): T => {
    if (absent(value)) return readFields({}, path)
    if (typeof value !== 'object' || Array.isArray(value) || value instanceof ObjectKeyed)
      throw bad(path, 'an object')
    return readFields(value, path)
  }
  return {
    read,
    write,
    of: (given = {}) => ({ ...readFields({}, name), ...given }),
    encode: value => Buffer.from(write(value)),
    decode: body => read(parseJson(body, name), name)
  }
}

/** Strict JSON the fast way, everything else that the original reads by the lenient parser. */
export function parseJson(body: Buffer | string | null, name: string): JsonValue {
  if (body === null || body.length === 0)
    throw new ProtocolError('LMQ_BAD_BODY', `the body is missing, ${name} was expected`)
  const content = typeof body === 'string' ? body : body.toString('utf8')
  if (!content.includes('"$ref"')) {
    try {
      return JSON.parse(content) as JsonValue
    } catch {
      return parseLenientJson(content)
    }
  }
  return parseLenientJson(content)
}
