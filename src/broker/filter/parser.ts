import {
  type ConditionNode,
  constantText,
  isCondition,
  isConstant,
  isNumber,
  type Node,
  type NumberNode,
  nodeText,
  type OrderOperator,
  type TextOperator
} from './syntax.ts'
import { escaped, imageOf, Kind, Lexer, placeOf, type Token, TokenError } from './tokens.ts'
import { compareValues, FAILED, type Value } from './values.ts'

/** Longer texts are refused: an expression is kept as long as its group is. */
export const expressionCharactersMax = 65_535
/** Comparisons of one expression; a list of IN counts once. */
export const termsMax = 2_048
/** How deep parentheses, signs and chains may nest; the original ends at its thread's stack. */
export const depthMax = 200
const messageCharactersMax = 1_000

const javaPackage = 'org.apache.rocketmq.filter.parser'

/** The expression does not compile. `message` is what the original says, its exception's name included (recorded: CHECK_CLIENT_CONFIG). */
export class FilterSyntaxError extends Error {
  override readonly name = 'FilterSyntaxError'

  constructor(message: string, options?: ErrorOptions) {
    const short = message.slice(0, messageCharactersMax - 1)
    super(message.length > messageCharactersMax ? `${short}…` : message, options)
  }
}

const runtimeError = (message: string): FilterSyntaxError =>
  new FilterSyntaxError(`java.lang.RuntimeException: ${message}`)
const parseError = (message: string): FilterSyntaxError =>
  new FilterSyntaxError(`${javaPackage}.ParseException: ${message}`)
const tooDeep = (): FilterSyntaxError =>
  new FilterSyntaxError(`java.lang.StackOverflowError: nested more than ${depthMax} levels deep`)

const orders: ReadonlyMap<Kind, OrderOperator> = new Map([
  [Kind.greater, '>'],
  [Kind.greaterOrEqual, '>='],
  [Kind.less, '<'],
  [Kind.lessOrEqual, '<=']
])
const textOperators: ReadonlyMap<Kind, TextOperator> = new Map([
  [Kind.contains, 'CONTAINS'],
  [Kind.startsWith, 'STARTSWITH'],
  [Kind.endsWith, 'ENDSWITH']
])
const comparing: readonly Kind[] = [...orders.keys(), ...textOperators.keys()]
const negatable: readonly Kind[] = [Kind.between, Kind.in, ...textOperators.keys()]
/** A plus is accepted too, but not named in messages. */
const operands: readonly Kind[] = [
  Kind.not,
  Kind.true,
  Kind.false,
  Kind.null,
  Kind.decimal,
  Kind.float,
  Kind.string,
  Kind.name,
  Kind.open,
  Kind.minus
]

/** Throws FilterSyntaxError. Facts: broker.md 4.4; what follows a complete expression is ignored, as the original does. */
export function parseExpression(text: string): ConditionNode {
  if (text.length > expressionCharactersMax)
    throw runtimeError(
      `the expression has ${text.length} characters, the limit is ${expressionCharactersMax}`
    )
  try {
    return new Parser(text).parse()
  } catch (error) {
    if (error instanceof TokenError)
      throw new FilterSyntaxError(`${javaPackage}.TokenMgrError: ${error.message}`, {
        cause: error
      })
    throw error
  }
}

class Parser {
  readonly #text: string
  readonly #lexer: Lexer
  #token: Token | null = null
  #behind: Token | null = null
  /** What would have been taken instead of the token at hand. */
  readonly #expected = new Set<Kind>()
  #depth = 0
  #terms = 0

  constructor(text: string) {
    this.#text = text
    this.#lexer = new Lexer(text)
  }

  parse(): ConditionNode {
    const node = condition(this.#or())
    // The token behind it must be one.
    this.#peek()
    return node
  }

  #peek(): Token {
    this.#token ??= this.#lexer.next()
    return this.#token
  }

  /** The token behind the one at hand. */
  #peekBehind(): Token {
    this.#peek()
    this.#behind ??= this.#lexer.next()
    return this.#behind
  }

  #take(): Token {
    const token = this.#peek()
    this.#token = this.#behind
    this.#behind = null
    this.#expected.clear()
    return token
  }

  #has(kind: Kind): boolean {
    if (this.#peek().kind === kind) return true
    this.#expected.add(kind)
    return false
  }

  #hasOneOf(kinds: readonly Kind[]): boolean {
    if (kinds.includes(this.#peek().kind)) return true
    for (const kind of kinds) this.#expected.add(kind)
    return false
  }

  #must(kind: Kind): Token {
    if (this.#has(kind)) return this.#take()
    throw this.#unexpected()
  }

  #unexpected(): FilterSyntaxError {
    const { kind, text, at } = this.#peek()
    const encountered = kind === Kind.end ? imageOf(kind) : ` ${imageOf(kind)} "${escaped(text)} "`
    const wanted = [...this.#expected].sort((one, other) => one - other)
    return parseError(
      `Encountered "${encountered}" at ${placeOf(this.#text, at)}.\n` +
        `Was expecting${wanted.length === 1 ? '' : ' one of'}:\n    ` +
        wanted.map(one => `${imageOf(one)} ...\n    `).join('')
    )
  }

  /** At a NOT that nothing follows which it could negate; the original names what could stand in its place. */
  #notNegatable(): FilterSyntaxError {
    for (const kind of [Kind.between, Kind.in, ...comparing]) this.#expected.add(kind)
    return this.#unexpected()
  }

  #term(): void {
    this.#terms += 1
    if (this.#terms > termsMax)
      throw runtimeError(`the expression has more than ${termsMax} comparisons`)
  }

  #or(): Node {
    return this.#chain(Kind.or, 'or', () => this.#and())
  }

  #and(): Node {
    return this.#chain(Kind.and, 'and', () => this.#equality())
  }

  /** The first part has to be a condition only when there is a second, and is looked at after that. */
  #chain(sign: Kind, kind: 'and' | 'or', next: () => Node): Node {
    const first = next()
    const parts: ConditionNode[] = []
    while (this.#has(sign)) {
      this.#take()
      const part = next()
      if (parts.length === 0) parts.push(condition(first))
      parts.push(condition(part))
    }
    return parts.length === 0 ? first : logic(kind, parts)
  }

  #equality(): Node {
    let left = this.#comparison()
    while (this.#hasOneOf([Kind.is, Kind.equal, Kind.notEqual])) {
      this.#term()
      const { kind } = this.#take()
      if (kind === Kind.is) {
        const negated = this.#has(Kind.not)
        if (negated) this.#take()
        this.#must(Kind.null)
        const test: ConditionNode = { kind: 'isNull', operand: left, depth: above(left) }
        left = negated ? not(test) : test
      } else {
        const test = equal(left, this.#comparison())
        left = kind === Kind.notEqual ? not(test) : test
      }
    }
    return left
  }

  #comparison(): Node {
    let left = this.#unary()
    while (this.#hasOneOf([Kind.not, Kind.between, Kind.in, ...comparing])) {
      this.#term()
      const negated = this.#has(Kind.not)
      if (negated) {
        if (!negatable.includes(this.#peekBehind().kind)) throw this.#notNegatable()
        this.#take()
      }
      left = this.#comparisonOf(left, negated)
    }
    return left
  }

  #comparisonOf(left: Node, negated: boolean): ConditionNode {
    const { kind } = this.#take()
    const operator = orders.get(kind)
    if (operator !== undefined) return order(operator, left, this.#unary())
    const textOperator = textOperators.get(kind)
    if (textOperator !== undefined) {
      const search = stringValue(this.#must(Kind.string))
      return {
        kind: 'text',
        operator: textOperator,
        negated,
        operand: left,
        search,
        depth: above(left)
      }
    }
    if (kind === Kind.in) return this.#in(left, negated)
    const low = this.#unary()
    this.#must(Kind.and)
    return between(left, low, this.#unary(), negated)
  }

  #in(left: Node, negated: boolean): ConditionNode {
    this.#must(Kind.open)
    const values = [stringValue(this.#must(Kind.string))]
    while (this.#has(Kind.comma)) {
      this.#take()
      values.push(stringValue(this.#must(Kind.string)))
    }
    this.#must(Kind.close)
    if (left.kind !== 'property')
      throw runtimeError(`Expected a property for In expression, got: ${nodeText(left)}`)
    return { kind: 'in', name: left.name, values, negated, depth: 1 }
  }

  #unary(): Node {
    this.#depth += 1
    if (this.#depth > depthMax) throw tooDeep()
    const node = this.#unaryBelow()
    this.#depth -= 1
    return node
  }

  #unaryBelow(): Node {
    if (this.#peek().kind === Kind.plus) {
      this.#take()
      return this.#unary()
    }
    if (!this.#hasOneOf(operands)) throw this.#unexpected()
    const token = this.#take()
    switch (token.kind) {
      case Kind.minus:
        return negate(this.#unary())
      case Kind.not:
        return not(condition(this.#unary()))
      case Kind.open: {
        const node = this.#or()
        this.#must(Kind.close)
        return node
      }
      case Kind.name:
        return { kind: 'property', name: token.text, depth: 1 }
      default:
        return literal(token)
    }
  }
}

function above(...nodes: readonly Node[]): number {
  let depth = 0
  for (const node of nodes) depth = Math.max(depth, node.depth)
  if (depth >= depthMax) throw tooDeep()
  return depth + 1
}

function literal(token: Token): Node {
  switch (token.kind) {
    case Kind.decimal:
      return decimal(token.text)
    case Kind.float:
      return float(token.text)
    case Kind.string:
      return { kind: 'string', value: stringValue(token), depth: 1 }
    case Kind.true:
      return { kind: 'boolean', value: true, depth: 1 }
    case Kind.false:
      return { kind: 'boolean', value: false, depth: 1 }
    default:
      return { kind: 'boolean', value: null, depth: 1 }
  }
}

function decimal(text: string): NumberNode {
  const digits = text.replace(/l$/i, '')
  const big = digits.length > 19 ? null : BigInt(digits)
  if (big === null || big > 9_223_372_036_854_775_807n)
    throw new FilterSyntaxError(`java.lang.NumberFormatException: For input string: "${digits}"`)
  const value = big <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(big) : big
  const kind = value <= 2_147_483_647 ? 'int' : 'long'
  return { kind, value, minuses: 0, depth: 1 }
}

function float(text: string): NumberNode {
  const value = Number(text)
  if (value === Number.POSITIVE_INFINITY)
    throw runtimeError(`${text} is greater than 1.7976931348623157E308`)
  if (value === 0) throw runtimeError(`${text} is less than 4.9E-324`)
  return { kind: 'double', value, minuses: 0, depth: 1 }
}

function stringValue(token: Token): string {
  return token.text.slice(1, -1).replaceAll("''", "'")
}

/** What AND, OR, NOT and the whole expression take. */
function condition(node: Node): ConditionNode {
  if (isCondition(node)) return node
  if (node.kind === 'property') return { kind: 'cast', name: node.name, depth: 1 }
  throw parseError(`Expression will not result in a boolean value: ${nodeText(node)}`)
}

function logic(kind: 'and' | 'or', parts: readonly ConditionNode[]): ConditionNode {
  return { kind, operands: parts, depth: above(...parts) }
}

function not(operand: ConditionNode): ConditionNode {
  return { kind: 'not', operand, depth: above(operand) }
}

function negate(node: Node): Node {
  if (!isNumber(node)) return { kind: 'nothing', operand: node, depth: above(node) }
  return { ...node, value: -node.value, minuses: node.minuses + 1 }
}

function equal(left: Node, right: Node): ConditionNode {
  for (const node of [left, right])
    if (node.kind === 'boolean' && node.value === null)
      throw runtimeError(`'${nodeText(node)}' cannot be compared.`)
  if (left.kind === 'boolean' && isConstant(right) && right.kind !== 'boolean')
    throw runtimeError(`'${nodeText(left)}' cannot be compared with '${nodeText(right)}'`)
  return { kind: 'equal', left, right, depth: above(left, right) }
}

function order(operator: OrderOperator, left: Node, right: Node): ConditionNode {
  for (const node of [left, right])
    if (isCondition(node) || node.kind === 'string')
      throw runtimeError(`Value '${nodeText(node)}' cannot be compared.`)
  return { kind: 'order', operator, left, right, depth: above(left, right) }
}

function between(value: Node, low: Node, high: Node, negated: boolean): ConditionNode {
  if (negated) return logic('or', [order('<', value, low), order('>', value, high)])
  if (isConstant(low) && isConstant(high)) {
    for (const bound of [low, high])
      if (bound.kind === 'boolean' && bound.value === null)
        throw runtimeError('Illegal values of between, values can not be null!')
    checkBounds(low, high)
  }
  return logic('and', [order('>=', value, low), order('<=', value, high)])
}

/** Two constants that are not null. */
function checkBounds(low: Node, high: Node): void {
  const sign = compareValues(constantValue(high), constantValue(low))
  if (sign === FAILED) {
    const text = low.kind === 'string' ? low : high
    throw runtimeError(`java.lang.NumberFormatException: For input string: "${constantText(text)}"`)
  }
  if (sign < 0)
    throw runtimeError(
      `Illegal values of between, left value(${constantText(low)}) must less than or equal to right value(${constantText(high)})`
    )
}

function constantValue(node: Node): Value {
  if (isNumber(node)) return node
  return node.kind === 'string' ? node.value : node.kind === 'boolean' && node.value === true
}
