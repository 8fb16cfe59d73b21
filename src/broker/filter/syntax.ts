import { javaDouble } from '../../protocol/index.ts'

/** A number of the expression. Kinds decide to what a property is converted before it is compared. */
export interface NumberNode {
  readonly kind: 'int' | 'long' | 'double'
  /** A bigint only where it is beyond 2^53. */
  readonly value: number | bigint
  /** Unary minuses in front; with any it is no literal. BETWEEN compares its bounds only if both are literals. */
  readonly minuses: number
  readonly depth: number
}

export type OrderOperator = '<' | '<=' | '>' | '>='
export type TextOperator = 'CONTAINS' | 'STARTSWITH' | 'ENDSWITH'

/** A condition: TRUE, FALSE or NULL. `cast` is a property that stands for one; it is never TRUE. */
export type ConditionNode =
  | { readonly kind: 'boolean'; readonly value: boolean | null; readonly depth: number }
  | { readonly kind: 'cast'; readonly name: string; readonly depth: number }
  | { readonly kind: 'not'; readonly operand: ConditionNode; readonly depth: number }
  | {
      readonly kind: 'and' | 'or'
      readonly operands: readonly ConditionNode[]
      readonly depth: number
    }
  | { readonly kind: 'equal'; readonly left: Node; readonly right: Node; readonly depth: number }
  | { readonly kind: 'isNull'; readonly operand: Node; readonly depth: number }
  | {
      readonly kind: 'order'
      readonly operator: OrderOperator
      readonly left: Node
      readonly right: Node
      readonly depth: number
    }
  | {
      readonly kind: 'in'
      readonly name: string
      readonly values: readonly string[]
      readonly negated: boolean
      readonly depth: number
    }
  | {
      readonly kind: 'text'
      readonly operator: TextOperator
      readonly negated: boolean
      readonly operand: Node
      readonly search: string
      readonly depth: number
    }

/** `nothing` is a unary minus before what is no number: always null. */
type OtherNode =
  | ConditionNode
  | { readonly kind: 'property'; readonly name: string; readonly depth: number }
  | { readonly kind: 'string'; readonly value: string; readonly depth: number }
  | { readonly kind: 'nothing'; readonly operand: Node; readonly depth: number }

/** Any part of an expression. */
export type Node = OtherNode | NumberNode

export function isNumber(node: Node): node is NumberNode {
  return node.kind === 'int' || node.kind === 'long' || node.kind === 'double'
}

export function isCondition(node: Node): node is ConditionNode {
  return (
    !isNumber(node) && node.kind !== 'property' && node.kind !== 'string' && node.kind !== 'nothing'
  )
}

/** A literal; a number behind a minus is none. */
export function isConstant(node: Node): boolean {
  return isNumber(node) ? node.minuses === 0 : node.kind === 'string' || node.kind === 'boolean'
}

/** The value of a constant as messages show it. */
export function constantText(node: Node): string {
  if (isNumber(node))
    return node.kind === 'double' ? javaDouble(Number(node.value)) : String(node.value)
  if (node.kind === 'string') return node.value
  return node.kind === 'boolean' ? String(node.value) : ''
}

/** A part of an expression as messages show it. */
export function nodeText(node: Node): string {
  if (isNumber(node)) {
    const digits = constantText(node).replace(/^-/, '')
    return `${'(- '.repeat(node.minuses)}${digits}${')'.repeat(node.minuses)}`
  }
  return textOf(node)
}

function textOf(node: OtherNode): string {
  switch (node.kind) {
    case 'property':
    case 'cast':
      return node.name
    case 'string':
      return `'${node.value.replaceAll("'", "''")}'`
    case 'boolean':
      return node.value === null ? 'NULL' : node.value ? 'TRUE' : 'FALSE'
    case 'nothing':
      return `(- ${nodeText(node.operand)})`
    case 'not':
      return `(NOT ${nodeText(node.operand)})`
    case 'and':
    case 'or':
      return node.operands
        .map(nodeText)
        .reduce((left, right) => `(${left} ${node.kind === 'and' ? '&&' : '||'} ${right})`)
    case 'equal':
      return `(${nodeText(node.left)} == ${nodeText(node.right)})`
    case 'isNull':
      return `(${nodeText(node.operand)} == NULL)`
    case 'order':
      return `(${nodeText(node.left)} ${node.operator} ${nodeText(node.right)})`
    case 'in':
      return `${node.name} ${node.negated ? 'NOT IN' : 'IN'} ( ${node.values.join(', ')} )`
    case 'text':
      return `(${node.negated ? 'NOT ' : ''}${node.operator} ${nodeText(node.operand)})`
  }
}
