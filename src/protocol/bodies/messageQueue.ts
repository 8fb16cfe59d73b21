import { bean, parseJson } from '../json/bean.ts'
import { absent, bad, entriesOf, type Form, integer, type Of, text } from '../json/schema.ts'
import type { JsonValue } from '../json/value.ts'

/** A queue's name. */
export const MessageQueue = bean('MessageQueue', {
  brokerName: text(),
  queueId: integer(),
  topic: text()
})
export type MessageQueue = Of<typeof MessageQueue>

/** A map keyed by queues, as a list of pairs. */
export type QueueTable<T> = [queue: MessageQueue, value: T][]

/**
 * Written in fastjson's form with bare objects as keys, `{{"brokerName":"b","queueId":0,"topic":"T"}:3}`, the only one that Java and Go
 * both take (remoting.md 3.3). Read also with keys that are such an object as text, and as gson's list of pairs.
 */
export function queueTableOf<T>(item: Form<T>): Form<QueueTable<T>> {
  return {
    read(value, path) {
      return pairsOf(value, path).map(([key, entry]): [MessageQueue, T] => {
        const queue = typeof key === 'string' ? parseJson(key, `a key of ${path}`) : key
        return [
          MessageQueue.read(queue, `a key of ${path}`),
          item.read(entry, `a value of ${path}`)
        ]
      })
    },
    write(table) {
      const parts: string[] = []
      for (const [queue, entry] of table)
        parts.push(`${MessageQueue.write(queue)}:${item.write(entry) ?? 'null'}`)
      return `{${parts.join(',')}}`
    }
  }
}

function pairsOf(value: JsonValue | undefined, path: string): [JsonValue, JsonValue][] {
  if (absent(value)) return []
  if (!Array.isArray(value)) return entriesOf(value, path)
  return value.map((pair): [JsonValue, JsonValue] => {
    if (!Array.isArray(pair) || pair.length !== 2) throw bad(path, 'a list of pairs')
    return [pair[0]!, pair[1]!]
  })
}
