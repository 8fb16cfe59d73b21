/** Words and signs of RocketMQ's SQL92 dialect, in the order in which its messages list them (broker.md 4.4). */
export const Kind = {
  end: 0,
  not: 8,
  and: 9,
  or: 10,
  between: 11,
  in: 12,
  true: 13,
  false: 14,
  null: 15,
  is: 16,
  contains: 17,
  startsWith: 18,
  endsWith: 19,
  decimal: 20,
  float: 21,
  string: 23,
  name: 24,
  equal: 25,
  notEqual: 26,
  greater: 27,
  greaterOrEqual: 28,
  less: 29,
  lessOrEqual: 30,
  open: 31,
  comma: 32,
  close: 33,
  plus: 34,
  minus: 35
} as const
export type Kind = (typeof Kind)[keyof typeof Kind]

const words = new Map<string, Kind>([
  ['NOT', Kind.not],
  ['AND', Kind.and],
  ['OR', Kind.or],
  ['BETWEEN', Kind.between],
  ['IN', Kind.in],
  ['TRUE', Kind.true],
  ['FALSE', Kind.false],
  ['NULL', Kind.null],
  ['IS', Kind.is],
  ['CONTAINS', Kind.contains],
  ['STARTSWITH', Kind.startsWith],
  ['ENDSWITH', Kind.endsWith]
])

const signs = new Map<string, Kind>([
  ['=', Kind.equal],
  ['<>', Kind.notEqual],
  ['>', Kind.greater],
  ['>=', Kind.greaterOrEqual],
  ['<', Kind.less],
  ['<=', Kind.lessOrEqual],
  ['(', Kind.open],
  [',', Kind.comma],
  [')', Kind.close],
  ['+', Kind.plus],
  ['-', Kind.minus]
])

const images = new Map<Kind, string>([
  [Kind.end, '<EOF>'],
  [Kind.decimal, '<DECIMAL_LITERAL>'],
  [Kind.float, '<FLOATING_POINT_LITERAL>'],
  [Kind.string, '<STRING_LITERAL>'],
  [Kind.name, '<ID>'],
  ...[...words, ...signs].map(([text, kind]): [Kind, string] => [kind, `"${text}"`])
])

/** How a kind is named in messages. */
export function imageOf(kind: Kind): string {
  return images.get(kind) ?? ''
}

export interface Token {
  readonly kind: Kind
  readonly text: string
  /** Where it begins in the expression; of the end: its last character. */
  readonly at: number
}

/** No word or sign begins here, or none that is begun is ever finished. */
export class TokenError extends Error {
  override readonly name = 'TokenError'
}

const blank = /[ \t\n\r\f]+/y
const lineComment = /--[^\n\r]*(?:\r\n|\n|\r)/y
const blockComment = /\/\*[^*]*\*(?:\*|[^*/][^*]*\*)*\//y
const float = /(?:[0-9]+\.[0-9]*(?:e[+-]?[0-9]+)?|\.[0-9]+(?:e[+-]?[0-9]+)?|[0-9]+e[+-]?[0-9]+)/iy
const decimal = /(?:0|[1-9][0-9]*l?)/iy
const name = /[a-z_$][a-z0-9_$]*/iy
const sign = /<>|>=|<=|[=><(),+-]/y

/**
 * Reads one token after the other, and no further than it is asked to: what stands behind a complete expression
 * matters only up to its first token, as in the original.
 */
export class Lexer {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  next(): Token {
    this.#skip()
    const at = this.#at
    if (at >= this.#text.length)
      return { kind: Kind.end, text: '', at: Math.max(0, this.#text.length - 1) }
    const token = this.#number(at) ?? this.#word(at) ?? this.#string(at) ?? this.#sign(at)
    if (token === null) throw this.#nothingAt(at)
    this.#at = at + token.text.length
    return token
  }

  #skip(): void {
    for (;;) {
      const before = this.#at
      this.#at += this.#match(blank, this.#at).length
      this.#at += this.#match(lineComment, this.#at).length
      this.#at += this.#match(blockComment, this.#at).length
      if (this.#at === before) return
    }
  }

  #match(pattern: RegExp, at: number): string {
    pattern.lastIndex = at
    return pattern.exec(this.#text)?.[0] ?? ''
  }

  #number(at: number): Token | null {
    const asFloat = this.#match(float, at)
    const asDecimal = this.#match(decimal, at)
    if (asFloat.length > asDecimal.length) return { kind: Kind.float, text: asFloat, at }
    return asDecimal === '' ? null : { kind: Kind.decimal, text: asDecimal, at }
  }

  #word(at: number): Token | null {
    const text = this.#match(name, at)
    if (text === '') return null
    return { kind: words.get(text.toUpperCase()) ?? Kind.name, text, at }
  }

  /** The longest that is closed; a doubled quote goes on only if there is another end. */
  #string(at: number): Token | null {
    const text = this.#text
    if (text[at] !== "'") return null
    let end = -1
    let quote = text.indexOf("'", at + 1)
    while (quote >= 0) {
      end = quote + 1
      if (text[end] !== "'") break
      quote = text.indexOf("'", end + 1)
    }
    if (end < 0) throw this.#error(at, text.length)
    return { kind: Kind.string, text: text.slice(at, end), at }
  }

  #sign(at: number): Token | null {
    const text = this.#match(sign, at)
    return text === '' ? null : { kind: signs.get(text)!, text, at }
  }

  #nothingAt(at: number): TokenError {
    const rest = this.#text.slice(at, at + 2)
    if (rest === '/*') return this.#error(at, this.#text.length)
    // A point and a stroke may begin something: what follows is what is wrong.
    return this.#error(at, rest.startsWith('.') || rest.startsWith('/') ? at + 1 : at)
  }

  /** At `from` something began that cannot go on with what stands at `at`. */
  #error(from: number, at: number): TokenError {
    const text = this.#text
    const ended = at >= text.length
    const wrong = ended ? '<EOF> ' : `"${escaped(text[at]!)}" (${text.charCodeAt(at)}), `
    // The end counts as a character; one character alone is not shown.
    const place = placeOf(ended ? `${text} ` : text, at)
    const after = ended && at - from <= 1 ? '' : escaped(text.slice(from, at))
    return new TokenError(`Lexical error at ${place}.  Encountered: ${wrong}after : "${after}"`)
  }
}

/** `line 1, column 4`; a tab goes to the next column that is a multiple of 8. */
export function placeOf(text: string, at: number): string {
  if (text === '') return 'line 0, column 0'
  let line = 1
  let column = 0
  for (let i = 0; i <= at; i++) {
    const before = text[i - 1]
    if (before === '\n' || (before === '\r' && text[i] !== '\n')) {
      line += 1
      column = 0
    }
    column = text[i] === '\t' ? column + 8 - (column % 8) : column + 1
  }
  return `line ${line}, column ${column}`
}

const escapes: Record<string, string> = {
  '\b': '\\b',
  '\t': '\\t',
  '\n': '\\n',
  '\f': '\\f',
  '\r': '\\r',
  '"': '\\"',
  "'": "\\'",
  '\\': '\\\\'
}

/** As a Java string literal would have it. */
export function escaped(text: string): string {
  let result = ''
  for (let i = 0; i < text.length; i++) {
    const unit = text[i]!
    const code = text.charCodeAt(i)
    result +=
      escapes[unit] ??
      (code < 0x20 || code > 0x7e ? `\\u${code.toString(16).padStart(4, '0')}` : unit)
  }
  return result
}
