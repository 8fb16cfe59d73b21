import { Outcome, outcomeOf, type Test } from './outcome.ts'
import type { PropertyScan } from './propertyScan.ts'
import {
  type ConditionNode,
  isCondition,
  isNumber,
  type Node,
  type NumberNode,
  type OrderOperator
} from './syntax.ts'
import {
  compareDoubles,
  compareValues,
  FAILED,
  type Failed,
  isTrueText,
  orderValues,
  parseDouble,
  parseInteger,
  parseLong,
  type Value
} from './values.ts'

/** What a comparison needs to compile its operands. */
export interface Compiling {
  readonly scan: PropertyScan
  /** Of an operand that is a condition itself. */
  condition(node: ConditionNode): Test
}

/** `=`: TRUE when both are null; a null on the left alone is null, on the right alone FALSE. */
export function compileEqual(left: Node, right: Node, within: Compiling): Test {
  return fastEqual(left, right, within.scan) ?? generalEqual(left, right, within)
}

/** Without the short ways for the usual shapes, which must not differ from it. */
export function generalEqual(left: Node, right: Node, within: Compiling): Test {
  const leftOf = operand(left, within)
  const rightOf = operand(right, within)
  return at => {
    const one = leftOf(at)
    if (one === FAILED) return Outcome.failed
    const other = rightOf(at)
    if (other === FAILED) return Outcome.failed
    if (one === null) return other === null ? Outcome.true : Outcome.null
    if (other === null) return Outcome.false
    const compared = compareValues(one, other)
    return compared === FAILED ? Outcome.failed : outcomeOf(compared === 0)
  }
}

function fastEqual(left: Node, right: Node, scan: PropertyScan): Test | null {
  if (left.kind === 'property') {
    const slot = scan.slotOf(left.name)
    const same = sameAs(right, slot)
    if (same === null) return null
    return at => (at.has(slot) ? same(at) : Outcome.null)
  }
  // A boolean on the left of a property fails, and is left to the general way.
  if (right.kind !== 'property' || left.kind === 'boolean') return null
  const slot = scan.slotOf(right.name)
  const same = sameAs(left, slot)
  if (same === null) return null
  return at => (at.has(slot) ? same(at) : Outcome.false)
}

/** A property that is there against a constant; null: no short way. */
function sameAs(node: Node, slot: number): Test | null {
  if (node.kind === 'string') {
    const value = Buffer.from(node.value)
    return at => outcomeOf(at.equals(slot, value))
  }
  if (node.kind === 'boolean' && node.value !== null) {
    const { value } = node
    return at => outcomeOf(isTrueText(at.bytes, at.startOf(slot), at.endOf(slot)) === value)
  }
  if (!isNumber(node)) return null
  const compared = comparedWith(node, slot)
  return at => {
    const sign = compared(at)
    return Number.isNaN(sign) ? Outcome.failed : outcomeOf(sign === 0)
  }
}

/** The sign of (property - number); NaN: the property does not convert to the number's type. */
function comparedWith(node: NumberNode, slot: number): (at: PropertyScan) => number {
  const { value } = node
  if (node.kind === 'double') {
    const double = Number(value)
    return at => {
      const other = parseDouble(at.bytes, at.startOf(slot), at.endOf(slot))
      return other === null ? Number.NaN : compareDoubles(other, double)
    }
  }
  const parse = node.kind === 'int' ? parseInteger : parseLong
  return at => {
    const other = parse(at.bytes, at.startOf(slot), at.endOf(slot))
    if (Number.isNaN(other)) return Number.NaN
    return other < value ? -1 : other > value ? 1 : 0
  }
}

const holds: Readonly<Record<OrderOperator, (sign: number) => boolean>> = {
  '<': sign => sign < 0,
  '<=': sign => sign <= 0,
  '>': sign => sign > 0,
  '>=': sign => sign >= 0
}

/** `<` and its like: null where one side is. */
export function compileOrder(
  operator: OrderOperator,
  left: Node,
  right: Node,
  within: Compiling
): Test {
  const isSo = holds[operator]
  if (left.kind === 'property' && isNumber(right)) {
    const slot = within.scan.slotOf(left.name)
    const compared = comparedWith(right, slot)
    return at => {
      if (!at.has(slot)) return Outcome.null
      const sign = compared(at)
      return Number.isNaN(sign) ? Outcome.failed : outcomeOf(isSo(sign))
    }
  }
  return generalOrder(operator, left, right, within)
}

/** Without the short way. */
export function generalOrder(
  operator: OrderOperator,
  left: Node,
  right: Node,
  within: Compiling
): Test {
  const isSo = holds[operator]
  const leftOf = operand(left, within)
  const rightOf = operand(right, within)
  return at => {
    const one = leftOf(at)
    if (one === FAILED) return Outcome.failed
    if (one === null) return Outcome.null
    const other = rightOf(at)
    if (other === FAILED) return Outcome.failed
    if (other === null) return Outcome.null
    const sign = orderValues(one, other)
    return sign === FAILED ? Outcome.failed : outcomeOf(isSo(sign))
  }
}

/** The value of a part; null: there is none. */
function operand(node: Node, within: Compiling): (at: PropertyScan) => Value | null | Failed {
  if (isNumber(node)) return () => node
  switch (node.kind) {
    case 'property': {
      const slot = within.scan.slotOf(node.name)
      return at => at.text(slot)
    }
    case 'string':
      return () => node.value
    case 'nothing': {
      if (!isCondition(node.operand) && node.operand.kind !== 'nothing') return () => null
      const inner = operand(node.operand, within)
      return at => (inner(at) === FAILED ? FAILED : null)
    }
    default: {
      const test = within.condition(node)
      return at => {
        const outcome = test(at)
        if (outcome === Outcome.failed) return FAILED
        return outcome === Outcome.null ? null : outcome === Outcome.true
      }
    }
  }
}
