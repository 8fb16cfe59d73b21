/** What a recall handle says (remoting.md 2.12). */
export interface RecallHandle {
  readonly topic: string
  readonly brokerName: string
  /** ms since 1970. */
  readonly dueMs: number
  readonly uniqueKey: string
}

const version = 'v1'

/** URL-safe Base64 of five words. */
export function recallHandle(handle: RecallHandle): string {
  const { topic, brokerName, dueMs, uniqueKey } = handle
  return base64(`${version} ${topic} ${brokerName} ${dueMs} ${uniqueKey}`)
}

function base64(text: string): string {
  const plain = Buffer.from(text).toString('base64url')
  // Java's encoder pads, and its decoder takes both.
  return plain.padEnd(Math.ceil(plain.length / 4) * 4, '=')
}

/** Null: no handle of this version. A due time that is no number is NaN. */
export function parseRecallHandle(text: string): RecallHandle | null {
  if (!/^[\w-]+={0,2}$/.test(text)) return null
  const words = Buffer.from(text, 'base64url').toString('utf8').split(' ')
  const [first, topic, brokerName, due, uniqueKey] = words
  if (words.length !== 5 || first !== version) return null
  const dueMs = /^\d{1,15}$/.test(due!) ? Number(due) : Number.NaN
  return { topic: topic!, brokerName: brokerName!, dueMs, uniqueKey: uniqueKey! }
}
