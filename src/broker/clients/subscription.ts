import { javaHash } from '../../protocol/index.ts'
import type { SqlFilter } from '../filter/index.ts'

/** What one group wants of one topic, taken apart once, so that a pull only compares numbers. */
export interface Subscription {
  readonly topic: string
  /** As the client wrote it. */
  readonly expression: string
  /** TAG, SQL92 or a class filter's; null of old clients is TAG. */
  readonly expressionType: string
  /** The client's version of it, ms; a pull that carries a newer one is told to wait (25). */
  readonly version: number
  readonly tags: readonly string[]
  /** Tag hashes that pass; null: everything passes. Collisions pass, the client drops them (broker.md 4.4). */
  readonly codes: ReadonlySet<number> | null
  /** Of an SQL92 expression; null with that type: it does not compile, and pulls get 27. */
  readonly filter: SqlFilter | null
  readonly classFilterMode: boolean
}

/** The expression is one of separators only: SUBSCRIPTION_PARSE_FAILED (23). */
export class SubscriptionSyntaxError extends Error {
  override readonly name = 'SubscriptionSyntaxError'
}

/** `TAG` is what an absent type means. */
export function isTagType(expressionType: string | null | undefined): boolean {
  return (
    expressionType === null ||
    expressionType === undefined ||
    expressionType === '' ||
    expressionType === 'TAG'
  )
}

const tagsMax = 1_000
/** No list of tags is longer. */
const expressionCharactersMax = 65_535

/** Takes a tag expression apart (broker.md 4.4); throws SubscriptionSyntaxError. */
export function tagSubscription(
  topic: string,
  expression: string | null | undefined,
  version: number
): Subscription {
  const base = { topic, expressionType: 'TAG', version, filter: null, classFilterMode: false }
  if (expression === null || expression === undefined || expression === '' || expression === '*')
    return { ...base, expression: '*', tags: [], codes: null }
  if (expression.length > expressionCharactersMax)
    throw new SubscriptionSyntaxError(`more than ${expressionCharactersMax} characters`)
  const distinct = new Set<string>()
  for (const part of expression.split('||')) {
    const tag = part.trim()
    if (tag !== '') distinct.add(tag)
    if (distinct.size > tagsMax) throw new SubscriptionSyntaxError(`more than ${tagsMax} tags`)
  }
  if (distinct.size === 0) throw new SubscriptionSyntaxError(expression)
  const tags = [...distinct]
  return { ...base, expression, tags, codes: new Set(tags.map(javaHash)) }
}
