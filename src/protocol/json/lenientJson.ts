import { ProtocolError, type ProtocolErrorCode } from '../errors.ts'
import { resolveReferences } from './references.ts'
import { type JsonObject, type JsonValue, ObjectKeyed } from './value.ts'

/**
 * Reads what fastjson writes and gson and Go send, which is not always JSON (remoting.md 3.0): bare numbers and bare objects as map keys,
 * `{"$ref":"…"}` for a value written before, unescaped control characters, single quotes, bare words as keys.
 * An object with object keys becomes an ObjectKeyed.
 */

/** Deeper nesting is refused: no body of the protocol has more than about ten levels. */
const JSON_DEPTH_MAX = 64

/** Throws ProtocolError with `code` and the position of what does not parse. */
export function parseLenientJson(
  text: string,
  code: ProtocolErrorCode = 'LMQ_BAD_BODY'
): JsonValue {
  const parser = new Parser(text, code)
  const value = parser.document()
  return parser.sawReference ? resolveReferences(value) : value
}

class Parser {
  sawReference: boolean = false
  readonly #text: string
  readonly #code: ProtocolErrorCode
  #at = 0

  constructor(text: string, code: ProtocolErrorCode) {
    this.#text = text
    this.#code = code
  }

  document(): JsonValue {
    const value = this.#value(0)
    if (this.#skipBlanks() !== '') throw this.#bad('text behind the end')
    return value
  }

  #value(depth: number): JsonValue {
    if (depth > JSON_DEPTH_MAX) throw this.#bad(`more than ${JSON_DEPTH_MAX} levels`)
    const first = this.#skipBlanks()
    if (first === '{') return this.#object(depth)
    if (first === '[') return this.#array(depth)
    if (first === '"' || first === "'") return this.#string(first)
    return this.#word()
  }

  #array(depth: number): JsonValue[] {
    const items: JsonValue[] = []
    this.#at++
    for (;;) {
      const next = this.#skipBlanks()
      if (next === ']') break
      if (next === ',') this.#at++
      else items.push(this.#value(depth + 1))
    }
    this.#at++
    return items
  }

  #object(depth: number): JsonValue {
    const plain: JsonObject = Object.create(null)
    let keyed: ObjectKeyed | null = null
    this.#at++
    for (;;) {
      const next = this.#skipBlanks()
      if (next === '}') break
      if (next === ',') {
        this.#at++
        continue
      }
      const key = next === '{' ? this.#value(depth + 1) : this.#key(next)
      if (this.#skipBlanks() !== ':') throw this.#bad('no colon behind a key')
      this.#at++
      const value = this.#value(depth + 1)
      if (typeof key === 'string' && keyed === null) {
        plain[key] = value
        if (key === '$ref') this.sawReference = true
      } else {
        if (keyed === null) {
          keyed = new ObjectKeyed()
          keyed.entries.push(...Object.entries(plain))
        }
        keyed.entries.push([key, value])
      }
    }
    this.#at++
    return keyed ?? plain
  }

  #key(first: string): string {
    return first === '"' || first === "'" ? this.#string(first) : this.#bare()
  }

  #word(): JsonValue {
    const word = this.#bare()
    if (word === 'true') return true
    if (word === 'false') return false
    if (word === 'null' || word === 'undefined' || word === 'NaN') return null
    const number = Number(word)
    if (word === '' || Number.isNaN(number)) throw this.#bad(`'${word.slice(0, 20)}' is no value`)
    return number
  }

  #bare(): string {
    const start = this.#at
    while (this.#at < this.#text.length && !endsWord(this.#text[this.#at]!)) this.#at++
    if (this.#at === start) throw this.#bad('a value is missing')
    return this.#text.slice(start, this.#at)
  }

  #string(quote: string): string {
    let result = ''
    let start = ++this.#at
    for (; this.#at < this.#text.length; this.#at++) {
      const character = this.#text[this.#at]
      if (character === quote) {
        result += this.#text.slice(start, this.#at++)
        return result
      }
      if (character === '\\') {
        result += this.#text.slice(start, this.#at) + this.#escape()
        start = this.#at + 1
      }
    }
    throw this.#bad('a string does not end')
  }

  /** Leaves the position on the last character of the escape. */
  #escape(): string {
    const character = this.#text[++this.#at]
    switch (character) {
      case 'n':
        return '\n'
      case 'r':
        return '\r'
      case 't':
        return '\t'
      case 'b':
        return '\b'
      case 'f':
      case 'F':
        return '\f'
      case 'v':
        return '\v'
      case 'u':
        return this.#unit(4)
      case 'x':
        return this.#unit(2)
      case undefined:
        throw this.#bad('a string does not end')
      default:
        return character
    }
  }

  #unit(digits: number): string {
    const hex = this.#text.slice(this.#at + 1, this.#at + 1 + digits)
    if (hex.length < digits || !/^[0-9a-fA-F]+$/.test(hex)) throw this.#bad('a broken escape')
    this.#at += digits
    return String.fromCharCode(Number.parseInt(hex, 16))
  }

  #skipBlanks(): string {
    while (this.#at < this.#text.length && this.#text.charCodeAt(this.#at) <= 32) this.#at++
    return this.#text[this.#at] ?? ''
  }

  #bad(what: string): ProtocolError {
    return new ProtocolError(this.#code, `${what} at character ${this.#at}: not readable as JSON`)
  }
}

function endsWord(character: string): boolean {
  return character <= ' ' || ',:{}[]"\''.includes(character)
}
