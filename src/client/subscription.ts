import { javaHash, type SubscriptionData } from '../protocol/index.ts'
import { badArgument } from './errors.ts'

/** What a group wants of one topic, as heartbeats and pulls carry it (remoting.md 2.6, 3.4). */
export interface Subscription {
  readonly topic: string
  readonly expression: string
  readonly expressionType: 'TAG' | 'SQL92'
  /** Empty for "everything" and for SQL92. */
  readonly tags: ReadonlySet<string>
  /** ms since 1970 of the subscription: a greater one replaces a smaller one at the broker. */
  readonly version: number
}

/** Reads a tag expression: `*` or empty for all, else tags between `||`. Throws on separators only. */
export function tagSubscription(topic: string, expression: string, version: number): Subscription {
  const text = expression.trim()
  const tags = new Set<string>()
  if (text !== '' && text !== '*') {
    for (const part of text.split('||')) {
      if (part.trim() !== '') tags.add(part.trim())
    }
    if (tags.size === 0) throw badArgument(`the tag expression "${expression}" names no tag`)
  }
  return { topic, expression: text === '' ? '*' : text, expressionType: 'TAG', tags, version }
}

/** An SQL92 filter: the broker alone evaluates it. */
export function sqlSubscription(topic: string, expression: string, version: number): Subscription {
  if (expression.trim() === '') throw badArgument('an SQL92 expression must not be empty')
  return { topic, expression, expressionType: 'SQL92', tags: new Set(), version }
}

/** The broker compares hashes only, so a tag with the same hash gets through: compare the text again. */
export function accepts(subscription: Subscription, tags: string | null): boolean {
  return subscription.tags.size === 0 || (tags !== null && subscription.tags.has(tags))
}

/** The bean that heartbeats, 203 and 307 carry. */
export function subscriptionBody(subscription: Subscription): SubscriptionData {
  const tags = [...subscription.tags]
  return {
    classFilterMode: false,
    codeSet: tags.map(javaHash),
    expressionType: subscription.expressionType,
    subString: subscription.expression,
    subVersion: subscription.version,
    tagsSet: tags,
    topic: subscription.topic
  }
}
