import { readdirSync, readFileSync } from 'node:fs'
import {
  decodeCommand,
  encodeCommand,
  FrameReader,
  MessageProperty,
  propertiesText,
  type RemotingCommand,
  RequestCode,
  SerializeType
} from '../../src/protocol/index.ts'
import type { Dice } from './dice.ts'
import { HOSTILE_NAMES, hostileBody, hostileField, twistJson } from './hostile.ts'

const RECORDED = 'test/vectors/remoting'

/** Valid changes of a server's settings would harm the well-behaved client for good reason: only refused ones are sent. */
const CONFIGURATION_CODES: ReadonlySet<number> = new Set([
  RequestCode.UPDATE_BROKER_CONFIG,
  RequestCode.UPDATE_NAMESRV_CONFIG
])
const CONFIGURATION_BODIES = [
  '',
  'maxMessageSize=abc',
  'maxMessageSize=-1',
  'flushDiskType=NO_SUCH',
  'brokerPermission=99999999999',
  'no equals sign',
  '=',
  `${'k'.repeat(100_000)}=v`,
  `unknownKey=${'v'.repeat(100_000)}`,
  'listenPort=1\u0000',
  'enableTopicList=perhaps'
]

/** Names of header fields, so that generated requests get behind the first check. */
const FIELD_NAMES = [
  'topic',
  'queueId',
  'consumerGroup',
  'producerGroup',
  'group',
  'offset',
  'commitOffset',
  'queueOffset',
  'timestamp',
  'maxMsgNums',
  'sysFlag',
  'suspendTimeoutMillis',
  'subVersion',
  'subscription',
  'expressionType',
  'key',
  'maxNum',
  'beginTimestamp',
  'endTimestamp',
  'defaultTopic',
  'readQueueNums',
  'writeQueueNums',
  'perm',
  'topicFilterType',
  'order',
  'topicSysFlag',
  'attributes',
  'groupName',
  'srcGroup',
  'destGroup',
  'offline',
  'isForce',
  'clientId',
  'clientAddr',
  'msgId',
  'statsName',
  'statsKey',
  'index',
  'count',
  'delayLevel',
  'originMsgId',
  'maxReconsumeTimes',
  'namespace',
  'value',
  'brokerName',
  'brokerAddr',
  'clusterName',
  'brokerId',
  'haServerAddr',
  'compressed',
  'bodyCrc32',
  'heartbeatTimeoutMillis',
  'cluster',
  'filterGroups',
  'compareGroup',
  'setZeroIfNotFound',
  'boundaryType',
  'topicList',
  'minTimestamp',
  'invisibleTime',
  'pollTime',
  'bornTime',
  'initMode',
  'expType',
  'exp',
  'attemptId',
  'extraInfo'
]

const CODES: readonly number[] = Object.values(RequestCode)

/** One thing to put on the wire. `command`: it is a whole frame, and an answer with its opaque is expected. */
export interface Shot {
  bytes: Buffer
  command: RemotingCommand | null
}

/** Makes requests that are wrong in every way that is known, from recorded ones and from nothing. */
export class FrameMaker {
  readonly #dice: Dice
  readonly #recorded: Buffer[] = []
  /** Names that exist, so that wrong requests reach real topics and groups. */
  readonly #names: readonly string[]
  /** Codes that are answered with 3: asked for now and then only. */
  readonly #unsupported = new Set<number>()
  #opaque = 1

  constructor(dice: Dice, names: readonly string[]) {
    this.#dice = dice
    this.#names = names
    for (const file of readdirSync(RECORDED).sort()) {
      const exchanges = JSON.parse(readFileSync(`${RECORDED}/${file}`, 'utf8')) as {
        request: { frame: string }
      }[]
      for (const { request } of exchanges.slice(0, 6))
        this.#recorded.push(Buffer.from(request.frame, 'base64'))
    }
  }

  /** The server does not know this code: better use is made of the time with others. */
  learnUnsupported(code: number): void {
    this.#unsupported.add(code)
  }

  next(): Shot {
    const way = this.#dice.below(100)
    if (way < 35) return this.#whole(this.#soonAnswered(this.#twisted()))
    if (way < 65) return this.#whole(this.#soonAnswered(this.#generated()))
    if (way < 70) return this.#whole(this.#hungryPull())
    if (way < 74) return this.#whole(this.#wildPop())
    if (way < 78) return this.#whole(this.#wildSend())
    return { bytes: way < 93 ? this.#damaged() : this.#noise(), command: null }
  }

  #whole(command: RemotingCommand): Shot {
    return { bytes: Buffer.concat(encodeCommand(command)), command }
  }

  /** A pull must not be held for longer than a fuzzer waits for its answer. */
  #soonAnswered(command: RemotingCommand): RemotingCommand {
    if (command.extFields?.['suspendTimeoutMillis'] !== undefined)
      command.extFields['suspendTimeoutMillis'] = this.#dice.pick(['-5', '0', '50', '200', 'x'])
    if (command.extFields?.['pollTime'] !== undefined)
      command.extFields['pollTime'] = this.#dice.pick(['-5', '0', '50', '200', 'x'])
    return command
  }

  #recordedCommand(): RemotingCommand {
    for (;;) {
      const reader = new FrameReader()
      reader.push(Buffer.from(this.#dice.pick(this.#recorded)))
      const command = decodeCommand(reader.next()!)
      if (!this.#isWaste(command.code)) return command
    }
  }

  #isWaste(code: number): boolean {
    return this.#unsupported.has(code) && this.#dice.chance(19, 20)
  }

  #base(code: number): RemotingCommand {
    const dice = this.#dice
    const fitsBinary = code < 32_768
    return {
      code,
      language: dice.chance(1, 10) ? dice.below(256) : 0,
      version: dice.pick([0, 28, 62, 317, 409, 479, 32_767]),
      opaque: this.#opaque++,
      flag: dice.chance(1, 12) ? 2 : 0,
      remark: dice.chance(1, 30) ? 'remark' : null,
      extFields: {},
      body: null,
      serializeType: fitsBinary && dice.chance(1, 3) ? SerializeType.ROCKETMQ : SerializeType.JSON
    }
  }

  /** A recorded request of which a few places are wrong. */
  #twisted(): RemotingCommand {
    const dice = this.#dice
    const command = this.#recordedCommand()
    command.opaque = this.#opaque++
    command.flag &= 2
    const fields = { ...command.extFields }
    for (let n = dice.below(4); n > 0; n--) {
      const names = Object.keys(fields)
      if (names.length === 0 || dice.chance(1, 8)) fields[dice.pick(FIELD_NAMES)] = this.#value('')
      else {
        const name = dice.pick(names)
        if (dice.chance(1, 5)) delete fields[name]
        else fields[name] = this.#value(name)
      }
    }
    command.extFields = dice.chance(1, 25) ? null : fields
    if (CONFIGURATION_CODES.has(command.code)) command.body = this.#configuration()
    else if (command.body !== null && dice.chance(1, 2))
      command.body = this.#twistedBody(command.body)
    else if (dice.chance(1, 10)) command.body = hostileBody(dice)
    if (dice.chance(1, 15)) command.version = dice.below(65_536) - 32_768
    return command
  }

  #twistedBody(body: Buffer): Buffer {
    const dice = this.#dice
    if (dice.chance(1, 3)) return hostileBody(dice)
    try {
      let value: unknown = JSON.parse(body.toString())
      for (let n = dice.below(3); n >= 0; n--) value = twistJson(dice, value)
      return Buffer.from(JSON.stringify(value) ?? '')
    } catch {
      return this.#bytesDamaged(body)
    }
  }

  /** Any request code with any fields. */
  #generated(): RemotingCommand {
    const dice = this.#dice
    const code = dice.chance(1, 8)
      ? dice.pick([-1, 0, 1, 9, 999, 32_767, 65_535, 200_049, 2_147_483_647, -2_147_483_648])
      : this.#knownCode()
    const command = this.#base(code)
    const fields: Record<string, string> = {}
    const most = dice.chance(1, 2)
    for (const name of FIELD_NAMES)
      if (most ? dice.chance(9, 10) : dice.chance(1, 4)) fields[name] = this.#value(name)
    command.extFields = fields
    if (CONFIGURATION_CODES.has(code)) command.body = this.#configuration()
    else if (dice.chance(1, 3)) command.body = hostileBody(dice)
    else if (dice.chance(1, 2)) command.body = this.#recordedCommand().body
    return command
  }

  #knownCode(): number {
    for (;;) {
      const code = this.#dice.pick(CODES)
      if (!this.#isWaste(code)) return code
    }
  }

  #hungryPull(): RemotingCommand {
    const dice = this.#dice
    const command = this.#base(dice.pick([RequestCode.PULL_MESSAGE, RequestCode.LITE_PULL_MESSAGE]))
    const number = (): string => this.#value('n')
    command.extFields = {
      consumerGroup: this.#name(),
      topic: dice.pick(this.#names),
      queueId: dice.chance(1, 2) ? '0' : number(),
      queueOffset: number(),
      maxMsgNums: number(),
      sysFlag: String(dice.below(32)),
      commitOffset: number(),
      suspendTimeoutMillis: dice.pick(['1', '50', '200']),
      subVersion: number(),
      subscription: dice.pick([
        '*',
        'A || B',
        '||',
        '',
        'a'.repeat(5_000),
        'x || '.repeat(2_000),
        "n BETWEEN 1 AND 9 OR KEYS CONTAINS 'k'",
        `${'('.repeat(5_000)}n = 1`,
        `n IN (${"'x',".repeat(3_000)}'y')`,
        `n = 1${' OR n > 2'.repeat(2_500)}`
      ]),
      expressionType: dice.pick(['TAG', 'SQL92', 'OTHER', ''])
    }
    return command
  }

  /** Pops, and what is done with popped messages, by handles that were never given or belong to others. */
  #wildPop(): RemotingCommand {
    const dice = this.#dice
    const command = this.#base(
      dice.pick([
        RequestCode.POP_MESSAGE,
        RequestCode.POP_MESSAGE,
        RequestCode.ACK_MESSAGE,
        RequestCode.BATCH_ACK_MESSAGE,
        RequestCode.CHANGE_MESSAGE_INVISIBLETIME,
        RequestCode.NOTIFICATION,
        RequestCode.PEEK_MESSAGE,
        RequestCode.POLLING_INFO,
        RequestCode.QUERY_ASSIGNMENT,
        RequestCode.SET_MESSAGE_REQUEST_MODE
      ])
    )
    const number = (): string => dice.pick(['0', '1', '-1', '32', this.#value('n')])
    const reviveQueue = dice.pick(['0', '7', '999', number()])
    const handle = `${number()} ${number()} ${number()} ${reviveQueue} ${dice.pick(['0', '1', '2', '3', 'x'])} b ${number()} ${number()}`
    const group = `fuzz-${dice.below(20)}`
    const topic = dice.chance(3, 4) ? dice.pick(this.#names) : this.#name()
    command.extFields = {
      consumerGroup: dice.chance(3, 4) ? group : this.#name(),
      topic,
      queueId: dice.pick(['-1', '0', number()]),
      maxMsgNums: number(),
      invisibleTime: dice.pick(['0', '1', '50', '60000', number()]),
      pollTime: dice.pick(['-5', '0', '50', '200']),
      bornTime: dice.pick(['0', '0', number()]),
      initMode: dice.pick(['0', '1', number()]),
      expType: dice.pick(['TAG', 'SQL92', 'OTHER', '']),
      exp: dice.pick(['*', 'A || B', '||', '', 'n > 1', `${'('.repeat(3_000)}n = 1`]),
      order: dice.pick(['true', 'false', 'x']),
      attemptId: dice.pick(['', 'a', 'b', 'c'.repeat(5_000)]),
      offset: number(),
      extraInfo: dice.chance(1, 5) ? hostileField(dice, 'i') : handle
    }
    const ack = {
      c: group,
      t: topic,
      r: dice.pick(['0', '1', '2', 'x']),
      so: dice.pick([0, 1, -1, 2 ** 52, 'x']),
      q: dice.pick([0, -1, 70_000]),
      rq: dice.pick([0, 999, -1]),
      pt: dice.below(1_000),
      it: 1,
      b: dice.pick(['AQI=', '', '////', 'A'.repeat(20_000)])
    }
    const assignment = {
      clientId: 'x',
      consumerGroup: group,
      messageModel: 'CLUSTERING',
      strategyName: 'AVG',
      topic
    }
    const mode = {
      consumerGroup: group,
      mode: 'POP',
      popShareQueueNum: dice.pick([-1, 0, 3, 'x']),
      topic
    }
    const body = dice.pick([{ acks: [ack, ack], brokerName: 'b' }, assignment, mode])
    command.body = dice.chance(1, 5) ? hostileBody(dice) : Buffer.from(JSON.stringify(body))
    return command
  }

  #wildSend(): RemotingCommand {
    const dice = this.#dice
    const batch = dice.chance(1, 3)
    const command = this.#base(
      batch
        ? RequestCode.SEND_BATCH_MESSAGE
        : dice.pick([RequestCode.SEND_MESSAGE_V2, RequestCode.SEND_MESSAGE_V2, 324, 325])
    )
    const delayed = propertiesText([[MessageProperty.DELAY, '1']])
    command.extFields = {
      a: this.#name(),
      b: dice.chance(1, 2) ? dice.pick(this.#names) : this.#name(),
      c: dice.pick(['TBW102', 'TBW102', this.#name()]),
      d: dice.pick(['4', '0', '-1', '2147483647']),
      e: dice.chance(1, 2) ? '0' : this.#value('n'),
      f: dice.pick(['0', '1', '8', '255', '2147483647', '-1']),
      g: this.#value('n'),
      h: dice.pick(['0', '-1', '2147483647', 'x']),
      i: dice.chance(1, 4) ? delayed : hostileField(dice, 'i'),
      j: dice.pick(['0', '-1', '17', '2147483647']),
      k: dice.pick(['true', 'false', '']),
      l: this.#value('n'),
      m: String(batch)
    }
    command.body = dice.chance(1, 2) ? Buffer.from('body') : hostileBody(dice)
    return command
  }

  #configuration(): Buffer {
    return Buffer.from(this.#dice.pick(CONFIGURATION_BODIES))
  }

  #name(): string {
    const dice = this.#dice
    if (dice.chance(1, 3)) return dice.pick(this.#names)
    if (dice.chance(1, 2)) return `made-${dice.below(100_000)}`
    return dice.pick(HOSTILE_NAMES)
  }

  #value(name: string): string {
    if (this.#dice.chance(1, 4)) return this.#dice.pick(this.#names)
    return hostileField(this.#dice, name)
  }

  /** A recorded frame whose bytes were changed: mostly no frame any more. */
  #damaged(): Buffer {
    const dice = this.#dice
    const frame = Buffer.from(dice.pick(this.#recorded))
    switch (dice.below(5)) {
      case 0:
        return frame.subarray(0, dice.below(frame.length))
      case 1: {
        frame.writeInt32BE(dice.pick([-1, 0, 1, 3, 4, 0x00ff_ffff, 0x0100_0000, 0x7fff_ffff]), 0)
        return frame
      }
      case 2: {
        frame.writeInt32BE(dice.pick([-1, 0, 1, 0x01ff_ffff, 0x00ff_ffff, 0x0500_0010]), 4)
        return frame
      }
      case 3:
        return Buffer.concat([frame, frame, frame.subarray(0, dice.below(frame.length))])
      default:
        return this.#bytesDamaged(frame)
    }
  }

  #bytesDamaged(bytes: Buffer): Buffer {
    const copy = Buffer.from(bytes)
    for (let n = this.#dice.below(8); n >= 0 && copy.length > 0; n--)
      copy[this.#dice.below(copy.length)] = this.#dice.below(256)
    return copy
  }

  #noise(): Buffer {
    const dice = this.#dice
    return dice.pick([
      () => dice.bytes(1 + dice.below(2_000)),
      () => Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
      () => Buffer.from('16030100c8010000c40303', 'hex'),
      () => Buffer.alloc(1 + dice.below(20_000)),
      () => Buffer.alloc(1 + dice.below(20_000), 0xff)
    ])()
  }
}
