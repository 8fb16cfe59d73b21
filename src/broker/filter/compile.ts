import { type Compiling, compileEqual, compileOrder } from './comparisons.ts'
import { Outcome, outcomeOf, type Test } from './outcome.ts'
import { type PropertyScan, startsWith } from './propertyScan.ts'
import { Searcher } from './searcher.ts'
import { type ConditionNode, isCondition, type Node } from './syntax.ts'

/** Lists of IN up to this length are compared byte by byte, longer ones looked up. */
const shortListMax = 8

export function compiling(scan: PropertyScan): Compiling {
  return { scan, condition: node => compileCondition(node, scan) }
}

/** One closure for each part of the expression; slots of the properties that it names are taken from `scan`. */
export function compileCondition(node: ConditionNode, scan: PropertyScan): Test {
  switch (node.kind) {
    case 'boolean': {
      const outcome = node.value === null ? Outcome.null : outcomeOf(node.value)
      return () => outcome
    }
    case 'cast': {
      const slot = scan.slotOf(node.name)
      // A property is a text, and no text is TRUE.
      return at => (at.has(slot) ? Outcome.false : Outcome.null)
    }
    case 'not': {
      const operand = compileCondition(node.operand, scan)
      return at => {
        const outcome = operand(at)
        if (outcome === Outcome.true) return Outcome.false
        return outcome === Outcome.false ? Outcome.true : outcome
      }
    }
    case 'and':
      return compileLogic(node.operands, scan, Outcome.false, Outcome.true)
    case 'or':
      return compileLogic(node.operands, scan, Outcome.true, Outcome.false)
    case 'equal':
      return compileEqual(node.left, node.right, compiling(scan))
    case 'isNull':
      return compileIsNull(node.operand, scan)
    case 'order':
      return compileOrder(node.operator, node.left, node.right, compiling(scan))
    case 'in':
      return compileIn(node, scan)
    case 'text':
      return compileText(node, scan)
  }
}

/** From the left; the first `decisive` or failed part ends it, and what stands behind is not looked at. */
function compileLogic(
  nodes: readonly ConditionNode[],
  scan: PropertyScan,
  decisive: Outcome,
  otherwise: Outcome
): Test {
  const tests = nodes.map(node => compileCondition(node, scan))
  return at => {
    let result = otherwise
    for (const test of tests) {
      const outcome = test(at)
      if (outcome === decisive || outcome === Outcome.failed) return outcome
      if (outcome === Outcome.null) result = Outcome.null
    }
    return result
  }
}

function compileIsNull(node: Node, scan: PropertyScan): Test {
  if (node.kind === 'property') {
    const slot = scan.slotOf(node.name)
    return at => outcomeOf(!at.has(slot))
  }
  const inner = conditionIn(node)
  if (inner === null) {
    const outcome = outcomeOf(node.kind === 'nothing')
    return () => outcome
  }
  const test = compileCondition(inner, scan)
  return at => {
    const outcome = test(at)
    if (outcome === Outcome.failed) return outcome
    return outcomeOf(node.kind === 'nothing' || outcome === Outcome.null)
  }
}

/** What must be evaluated because it may fail, although its value does not matter. */
function conditionIn(node: Node): ConditionNode | null {
  if (node.kind === 'nothing') return conditionIn(node.operand)
  return isCondition(node) ? node : null
}

function compileIn(node: ConditionNode & { kind: 'in' }, scan: PropertyScan): Test {
  const slot = scan.slotOf(node.name)
  const listed = outcomeOf(!node.negated)
  const unlisted = outcomeOf(node.negated)
  if (node.values.length > shortListMax) {
    const values = new Set(node.values)
    return at => {
      const text = at.text(slot)
      if (text === null) return Outcome.null
      return values.has(text) ? listed : unlisted
    }
  }
  const values = node.values.map(value => Buffer.from(value))
  return at => {
    if (!at.has(slot)) return Outcome.null
    for (const value of values) if (at.equals(slot, value)) return listed
    return unlisted
  }
}

/** What is no text, and a search for nothing, give FALSE for the negated forms too. */
function compileText(node: ConditionNode & { kind: 'text' }, scan: PropertyScan): Test {
  const search = Buffer.from(node.search)
  if (search.length === 0) return () => Outcome.false
  const found = outcomeOf(!node.negated)
  const missed = outcomeOf(node.negated)
  const isFound = finder(node.operator, search)
  if (node.operand.kind === 'property') {
    const slot = scan.slotOf(node.operand.name)
    return at => {
      if (!at.has(slot)) return Outcome.false
      return isFound(at.bytes, at.startOf(slot), at.endOf(slot)) ? found : missed
    }
  }
  if (node.operand.kind === 'string') {
    const text = Buffer.from(node.operand.value)
    const outcome = isFound(text, 0, text.length) ? found : missed
    return () => outcome
  }
  const inner = conditionIn(node.operand)
  if (inner === null) return () => Outcome.false
  const test = compileCondition(inner, scan)
  return at => (test(at) === Outcome.failed ? Outcome.failed : Outcome.false)
}

type Finder = (bytes: Uint8Array, start: number, end: number) => boolean

function finder(operator: 'CONTAINS' | 'STARTSWITH' | 'ENDSWITH', search: Uint8Array): Finder {
  if (operator === 'CONTAINS') {
    const searcher = new Searcher(search)
    return (bytes, start, end) => searcher.isIn(bytes, start, end)
  }
  if (operator === 'STARTSWITH')
    return (bytes, start, end) => end - start >= search.length && startsWith(bytes, start, search)
  return (bytes, start, end) =>
    end - start >= search.length && startsWith(bytes, end - search.length, search)
}
