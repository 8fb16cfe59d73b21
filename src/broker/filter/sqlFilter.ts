import { ByteRange, getPropertiesRange } from '../../protocol/index.ts'
import type { MessageFilter } from '../../store/index.ts'
import { compileCondition } from './compile.ts'
import { Outcome, type Test } from './outcome.ts'
import { parseExpression } from './parser.ts'
import { PropertyScan } from './propertyScan.ts'
import type { Node } from './syntax.ts'

/** Bytes that are looked at in about the time of one comparison. */
const bytesOfOneWork = 32

/** One SQL92 expression, compiled once and evaluated on the bytes of stored messages (broker.md 4.4). */
export class SqlFilter implements MessageFilter {
  readonly expression: string
  work = 0
  readonly #test: Test
  readonly #scan = new PropertyScan()
  readonly #range = new ByteRange()
  readonly #terms: number
  /** How often the bytes of the properties may be looked at in one evaluation. */
  readonly #passes: number

  /** Throws FilterSyntaxError. */
  constructor(expression: string) {
    const node = parseExpression(expression)
    this.expression = expression
    this.#test = compileCondition(node, this.#scan)
    const counted = { terms: 0, searches: 0 }
    count(node, counted)
    this.#terms = counted.terms
    this.#passes = 1 + counted.searches
  }

  matches(bytes: Uint8Array, at: number): boolean {
    const range = this.#range
    getPropertiesRange(bytes, at, range)
    return this.matchesProperties(bytes, range.start, range.end)
  }

  /** The same for properties alone. */
  matchesProperties(bytes: Uint8Array, start: number, end: number): boolean {
    this.work += this.#terms + Math.ceil(((end - start) * this.#passes) / bytesOfOneWork)
    this.#scan.read(bytes, start, end)
    return this.#test(this.#scan) === Outcome.true
  }
}

function count(node: Node, into: { terms: number; searches: number }): void {
  into.terms += 1
  if (node.kind === 'text') into.searches += 1
  if ('operands' in node) for (const operand of node.operands) count(operand, into)
  if ('operand' in node) count(node.operand, into)
  if ('left' in node) {
    count(node.left, into)
    count(node.right, into)
  }
}
