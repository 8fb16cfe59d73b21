import { parseLenientJson } from '../protocol/json/lenientJson.ts'
import { type JsonValue, ObjectKeyed } from '../protocol/json/value.ts'
import { asError, ClientError } from './errors.ts'
import type { MessageQueue } from './queue.ts'
import type { BrokerData, TopicRoute } from './route.ts'

/** JSON text as bytes; what goes out is always plain JSON. */
export function jsonBody(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value), 'utf8')
}

/** Reads a server's JSON, also in fastjson's own dialect (remoting.md 3.0). `source` names the sender in errors. */
export function parseBody(body: Buffer | null, source: string): Body {
  if (body === null) throw malformed(source, 'the answer has no body')
  try {
    return new Body(parseLenientJson(body.toString('utf8')), source, '')
  } catch (error) {
    throw malformed(source, asError(error).message, error)
  }
}

/** A value of a parsed body that says where it stands when it is not what it should be. */
export class Body {
  readonly value: JsonValue
  readonly #source: string
  readonly #path: string

  constructor(value: JsonValue, source: string, path: string) {
    this.value = value
    this.#source = source
    this.#path = path
  }

  get isMissing(): boolean {
    return this.value === null
  }

  asText(): string {
    if (typeof this.value === 'string') return this.value
    throw this.#not('text')
  }

  /** Numbers that some servers write as text are taken too. */
  asNumber(): number {
    const number = typeof this.value === 'string' ? Number(this.value) : this.value
    if (typeof number === 'number' && Number.isFinite(number)) return number
    throw this.#not('a number')
  }

  asQueue(): MessageQueue {
    // fastjson also writes an object key as text that holds the object's JSON.
    if (typeof this.value === 'string') {
      return parseBody(Buffer.from(this.value, 'utf8'), this.#source).asQueue()
    }
    return {
      topic: this.get('topic').asText(),
      brokerName: this.get('brokerName').asText(),
      queueId: this.get('queueId').asNumber()
    }
  }

  get(name: string): Body {
    const { value } = this
    if (value === null || typeof value !== 'object') throw this.#not('an object')
    const found =
      Array.isArray(value) || value instanceof ObjectKeyed
        ? null
        : Object.hasOwn(value, name)
          ? value[name]!
          : null
    return new Body(found, this.#source, `${this.#path}.${name}`)
  }

  text(name: string, fallback: string): string {
    const found = this.get(name)
    return found.isMissing ? fallback : found.asText()
  }

  number(name: string, fallback: number): number {
    const found = this.get(name)
    return found.isMissing ? fallback : found.asNumber()
  }

  flag(name: string, fallback: boolean): boolean {
    const { value } = this.get(name)
    return typeof value === 'boolean' ? value : value === null ? fallback : value === 'true'
  }

  /** The elements of a list; none when it is missing. */
  list(name: string): Body[] {
    const found = this.get(name)
    if (found.isMissing) return []
    if (!Array.isArray(found.value)) throw found.#not('a list')
    return found.value.map(
      (value, at) => new Body(value, this.#source, `${this.#path}.${name}[${at}]`)
    )
  }

  /** The pairs of a map, whatever its keys are; none when it is missing. */
  entries(name: string): [key: Body, value: Body][] {
    const found = this.get(name)
    if (found.isMissing) return []
    const path = `${this.#path}.${name}`
    const pairs =
      found.value instanceof ObjectKeyed
        ? found.value.entries
        : typeof found.value === 'object' && !Array.isArray(found.value)
          ? Object.entries(found.value ?? {})
          : null
    if (pairs === null) throw found.#not('a map')
    return pairs.map(([key, value]) => [
      new Body(key, this.#source, `key of ${path}`),
      new Body(value, this.#source, `value in ${path}`)
    ])
  }

  #not(wanted: string): ClientError {
    const where = this.#path === '' ? 'the answer' : `"${this.#path.replace(/^\./, '')}"`
    return malformed(this.#source, `${where} is not ${wanted}`)
  }
}

/** GET_ROUTEINFO_BY_TOPIC (105): remoting.md 3.1. */
export function readTopicRoute(topic: string, body: Buffer | null, source: string): TopicRoute {
  const route = parseBody(body, source)
  return {
    topic,
    orderConf: route.text('orderTopicConf', '') || null,
    queues: route.list('queueDatas').map(data => ({
      brokerName: data.get('brokerName').asText(),
      readQueueNums: data.get('readQueueNums').asNumber(),
      writeQueueNums: data.get('writeQueueNums').asNumber(),
      perm: data.get('perm').asNumber(),
      topicSysFlag: data.number('topicSysFlag', 0)
    })),
    brokers: route.list('brokerDatas').map(readBrokerData)
  }
}

export function readBrokerData(data: Body): BrokerData {
  return {
    cluster: data.text('cluster', ''),
    brokerName: data.get('brokerName').asText(),
    addresses: new Map(
      data.entries('brokerAddrs').map(([id, address]) => [id.asNumber(), address.asText()])
    )
  }
}

function malformed(source: string, what: string, cause?: unknown): ClientError {
  return new ClientError('MALFORMED_ANSWER', `what ${source} sent cannot be read: ${what}`, {
    address: source,
    cause
  })
}
