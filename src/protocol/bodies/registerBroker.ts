import { deflateSync } from 'node:zlib'
import { getInt32, putInt32 } from '../bytes.ts'
import { inflateLimited } from '../compression.ts'
import { ProtocolError } from '../errors.ts'
import { bean, parseJson } from '../json/bean.ts'
import { list, mapOf, type Of, text } from '../json/schema.ts'
import { Version } from '../versions.ts'
import { DataVersion } from './dataVersion.ts'
import {
  TopicConfig,
  TopicConfigSerializeWrapper,
  TopicQueueMappingInfo,
  topicFilterTypes
} from './topics.ts'

/** Body of REGISTER_BROKER (103), remoting.md 2.17. */
export const RegisterBrokerBody = bean('RegisterBrokerBody', {
  filterServerList: list(text()),
  topicConfigSerializeWrapper: TopicConfigSerializeWrapper
})
export type RegisterBrokerBody = Of<typeof RegisterBrokerBody>

/** One topic of a registration as text, for who registers the same again and again. */
export function registrationText(topic: TopicConfig): string {
  return `${JSON.stringify(topic.topicName)}:${TopicConfig.write(topic)}`
}

const emptyTable = '"topicConfigTable":{}'

/** A registration of topics that are texts already, without filter servers. */
export function encodeRegistration(dataVersion: DataVersion, topics: readonly string[]): Buffer {
  const body = RegisterBrokerBody.of({
    topicConfigSerializeWrapper: TopicConfigSerializeWrapper.of({ dataVersion })
  })
  const empty = RegisterBrokerBody.write(body) ?? ''
  const at = empty.indexOf(emptyTable) + emptyTable.length - 1
  return Buffer.from(`${empty.slice(0, at)}${topics.join(',')}${empty.slice(at)}`)
}

/** Plain size above which a compressed registration is refused: some 500,000 topics. */
export const REGISTER_BODY_BYTES_MAX = 64 * 1024 * 1024

/**
 * Reads a registration of any age: `version` and `compressed` are those of the request. Below 3.0.11 the body is the topic table alone,
 * and may be missing. Throws ProtocolError LMQ_BAD_BODY.
 */
export function decodeRegisterBrokerBody(
  body: Buffer | null,
  version: number,
  compressed: boolean
): RegisterBrokerBody {
  if (body === null || body.length === 0) return RegisterBrokerBody.of()
  if (version < Version.V3_0_11)
    return RegisterBrokerBody.of({
      topicConfigSerializeWrapper: TopicConfigSerializeWrapper.decode(body)
    })
  if (!compressed) return RegisterBrokerBody.decode(body)
  return new PackedReader(inflateLimited(body, REGISTER_BODY_BYTES_MAX)).body(version)
}

const attributesForm = mapOf(text())
const serversForm = list(text())

/**
 * Packed form: one zlib stream of: DataVersion as JSON; number of topics, each a text `name read write perm filterType {attributes}`;
 * filter servers as JSON; from 5.0 on number of queue mappings, each JSON. Counts are i32, every text has its i32 length before it.
 * topicSysFlag and order are lost, and before 5.0 the attributes too.
 */
export function encodePackedRegisterBrokerBody(body: RegisterBrokerBody, version: number): Buffer {
  const parts: Buffer[] = []
  const putText = (value: string): void => {
    const bytes = Buffer.from(value)
    parts.push(int32(bytes.length), bytes)
  }
  const wrapper = body.topicConfigSerializeWrapper
  putText(DataVersion.write(wrapper.dataVersion) ?? '{}')
  parts.push(int32(wrapper.topicConfigTable.size))
  const attributed = version >= Version.V5_0_0
  for (const topic of wrapper.topicConfigTable.values()) {
    const attributes = attributed ? ` ${attributesForm.write(topic.attributes)}` : ''
    putText(
      `${topic.topicName} ${topic.readQueueNums} ${topic.writeQueueNums} ${topic.perm} ${topic.topicFilterType}${attributes}`
    )
  }
  putText(serversForm.write(body.filterServerList) ?? '[]')
  if (attributed) {
    const mappings = wrapper.topicQueueMappingInfoMap ?? new Map<string, TopicQueueMappingInfo>()
    parts.push(int32(mappings.size))
    for (const mapping of mappings.values()) putText(TopicQueueMappingInfo.write(mapping) ?? '{}')
  }
  return deflateSync(Buffer.concat(parts))
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  putInt32(bytes, 0, value)
  return bytes
}

class PackedReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  body(version: number): RegisterBrokerBody {
    const dataVersion = DataVersion.decode(this.#text())
    const topicConfigTable = new Map<string, TopicConfig>()
    for (let left = this.#int(); left > 0; left--) {
      const topic = readTopic(this.#text())
      topicConfigTable.set(topic.topicName, topic)
    }
    const servers = this.#text()
    const filterServerList =
      servers === '' ? [] : serversForm.read(parseJson(servers, 'filter servers'), 'filter servers')
    const mappings = new Map<string, TopicQueueMappingInfo>()
    if (version >= Version.V5_0_0) {
      for (let left = this.#int(); left > 0; left--) {
        const mapping = TopicQueueMappingInfo.decode(this.#text())
        mappings.set(mapping.topic, mapping)
      }
    }
    return {
      filterServerList,
      topicConfigSerializeWrapper: {
        dataVersion,
        topicConfigTable,
        topicQueueMappingInfoMap: mappings
      }
    }
  }

  #int(): number {
    if (this.#at + 4 > this.#bytes.length) throw this.#bad()
    const value = getInt32(this.#bytes, this.#at)
    this.#at += 4
    return value
  }

  #text(): string {
    const length = this.#int()
    if (length < 0 || this.#at + length > this.#bytes.length) throw this.#bad()
    const value = this.#bytes.toString('utf8', this.#at, this.#at + length)
    this.#at += length
    return value
  }

  #bad(): ProtocolError {
    return new ProtocolError(
      'LMQ_BAD_BODY',
      `the packed registration ends early at byte ${this.#at}`
    )
  }
}

function readTopic(line: string): TopicConfig {
  const [topicName = '', read, write, perm, filterType, ...attributes] = line.split(' ')
  const numbers = [Number(read), Number(write), Number(perm)]
  const known = topicFilterTypes.find(type => type === filterType)
  if (topicName === '' || known === undefined || !numbers.every(Number.isInteger))
    throw new ProtocolError(
      'LMQ_BAD_BODY',
      `'${line.slice(0, 80)}' is no topic of a packed registration`
    )
  return TopicConfig.of({
    topicName,
    readQueueNums: numbers[0]!,
    writeQueueNums: numbers[1]!,
    perm: numbers[2]!,
    topicFilterType: known,
    attributes:
      attributes.length === 0
        ? new Map()
        : attributesForm.read(parseJson(attributes.join(' '), 'attributes'), 'attributes')
  })
}
