import { ProtocolError } from './errors.ts'

/**
 * Typed access to a custom header, in the general way. A missing required field and a number that does not parse are ProtocolErrors
 * LMQ_BAD_HEADER that name the field; the request can be answered (remoting.md 1.6).
 */
export type ExtFields = Readonly<Record<string, string>> | null

export function requiredText(fields: ExtFields, name: string): string {
  const value = fields?.[name]
  if (value === undefined)
    throw new ProtocolError('LMQ_BAD_HEADER', `the header field ${name} is missing`)
  return value
}

export function optionalText(fields: ExtFields, name: string): string | null {
  return fields?.[name] ?? null
}

/** A 32-bit integer. */
export function requiredInt(fields: ExtFields, name: string): number {
  return parseInteger(requiredText(fields, name), name, -2_147_483_648, 2_147_483_647)
}

export function optionalInt(fields: ExtFields, name: string): number | null {
  const value = fields?.[name]
  return value === undefined ? null : parseInteger(value, name, -2_147_483_648, 2_147_483_647)
}

/** A 64-bit integer; beyond ±2^53 the nearest number (Long.MAX_VALUE stands for "none" here and there). */
export function requiredLong(fields: ExtFields, name: string): number {
  return parseInteger(requiredText(fields, name), name, -(2 ** 63), 2 ** 63)
}

export function optionalLong(fields: ExtFields, name: string): number | null {
  const value = fields?.[name]
  return value === undefined ? null : parseInteger(value, name, -(2 ** 63), 2 ** 63)
}

/** Java's rule: `true` in any case, everything else is false. Null: absent. */
export function optionalBoolean(fields: ExtFields, name: string): boolean | null {
  const value = fields?.[name]
  return value === undefined ? null : value.toLowerCase() === 'true'
}

function parseInteger(text: string, name: string, min: number, max: number): number {
  const value = /^[+-]?\d{1,19}$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= min && value <= max))
    throw new ProtocolError(
      'LMQ_BAD_HEADER',
      `the header field ${name} is '${text.slice(0, 40)}', not an integer`
    )
  return value
}
