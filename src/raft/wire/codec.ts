/**
 * Protobuf headers from a table of fields: types are built by protobufjs' reflection when this
 * file is loaded, so there are no generated files. Payload bytes never come here.
 */
import protobuf from 'protobufjs/light.js'
import { WireError } from './frame.ts'

// 64-bit fields become numbers (exact to 2^53) instead of Long objects; must precede the first use.
protobuf.util.Long = null as never
protobuf.configure()

/** Strings of a header: ids, addresses, sentences. */
const STRING_CHARS_MAX = 4096

export type FieldType = 'uint64' | 'string' | 'bool'
/** Field name → type and number. Numbers are never used again for something else. */
export type FieldTable = Readonly<Record<string, readonly [FieldType, number]>>

/** What a table's message looks like in the program. */
export type MessageOf<T extends FieldTable> = {
  -readonly [K in keyof T]: T[K][0] extends 'uint64'
    ? number
    : T[K][0] extends 'bool'
      ? boolean
      : string
}

export interface Codec<M> {
  encode(message: M): Uint8Array
  /** A plain object with every field set. Throws WireError. Unknown fields are ignored. */
  decode(header: Buffer): M
}

export function codec<T extends FieldTable>(name: string, table: T): Codec<MessageOf<T>> {
  const type = new protobuf.Type(name)
  for (const [field, [fieldType, number]] of Object.entries(table)) {
    type.add(new protobuf.Field(field, number, fieldType))
  }
  type.setup()
  const names = Object.keys(table)
  const types = names.map(field => table[field]![0])
  return {
    encode: message => type.encode(message).finish(),
    decode(header) {
      let parsed: Record<string, unknown>
      try {
        parsed = type.decode(header) as unknown as Record<string, unknown>
      } catch (error) {
        throw new WireError(`${name} does not parse`, { cause: error })
      }
      const message: Record<string, unknown> = {}
      for (let at = 0; at < names.length; at += 1) {
        const field = names[at]!
        const value = parsed[field]
        if (types[at] === 'uint64' && !(Number.isSafeInteger(value) && (value as number) >= 0)) {
          throw new WireError(`${name}.${field} is beyond 2^53`)
        }
        if (types[at] === 'string' && (value as string).length > STRING_CHARS_MAX) {
          throw new WireError(`${name}.${field} is too long`)
        }
        message[field] = value
      }
      return message as MessageOf<T>
    }
  }
}
