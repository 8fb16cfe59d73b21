import {
  CommandFlag,
  type Frame,
  OWN_LANGUAGE,
  OWN_VERSION,
  PULL_RESPONSE_HEAD_BYTES_MAX,
  PullHeader,
  PullResponseWriter,
  PullSysFlag,
  pullHeaderFromCommand,
  RequestCode,
  ResponseCode,
  response,
  scanPullHeader
} from '../../protocol/index.ts'
import type { Connection } from '../../remoting/index.ts'
import { type PullResult, PullStatus, REPAIR_PATIENCE_MS } from '../../store/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import type { Handler } from '../dispatch/handler.ts'
import { PullChecks } from './checks.ts'
import { Pull } from './pull.ts'

/** Reused for each answer. */
interface HeadFields {
  opaque: number
  serializeType: number
  code: number
  remark: string | null
  suggestWhichBrokerId: number
  nextBeginOffset: number
  minOffset: number
  maxOffset: number
}

/** The response code of a read (broker.md 4.2); `offset` is what was asked for. */
function pullCode(status: PullStatus, offset: number): number {
  switch (status) {
    case PullStatus.FOUND:
      return ResponseCode.SUCCESS
    case PullStatus.NO_MATCHED_MESSAGE:
    case PullStatus.MESSAGE_WAS_REMOVING:
      return ResponseCode.PULL_RETRY_IMMEDIATELY
    case PullStatus.NO_MATCHED_LOGIC_QUEUE:
    case PullStatus.NO_MESSAGE_IN_QUEUE:
      return offset === 0 ? ResponseCode.PULL_NOT_FOUND : ResponseCode.PULL_OFFSET_MOVED
    case PullStatus.OFFSET_FOUND_NULL:
    case PullStatus.OFFSET_OVERFLOW_ONE:
      return ResponseCode.PULL_NOT_FOUND
    case PullStatus.OFFSET_OVERFLOW_BADLY:
    case PullStatus.OFFSET_TOO_SMALL:
      return ResponseCode.PULL_OFFSET_MOVED
  }
}

/** PULL_MESSAGE (11) and LITE_PULL_MESSAGE (361), from the frame to the bytes of the answer. Served by every member. */
export class PullPath {
  readonly #broker: BrokerContext
  readonly #checks: PullChecks
  readonly #header = new PullHeader()
  readonly #writer = new PullResponseWriter({ version: OWN_VERSION, language: OWN_LANGUAGE })
  readonly #head: HeadFields = {
    opaque: 0,
    serializeType: 0,
    code: 0,
    remark: null,
    suggestWhichBrokerId: 0,
    nextBeginOffset: 0,
    minOffset: 0,
    maxOffset: 0
  }

  constructor(broker: BrokerContext) {
    this.#broker = broker
    this.#checks = new PullChecks(broker)
  }

  /** The hot way. False: the general way; nothing was done. */
  readonly takeFrame = (frame: Frame, connection: Connection): boolean => {
    const header = this.#header
    if (!scanPullHeader(frame, header) || (header.commandFlag & CommandFlag.response) !== 0)
      return false
    this.#run(this.#newPull(connection), true)
    return true
  }

  /** The general way, for headers that the scanner leaves alone. */
  handlers(): Handler[] {
    return [RequestCode.PULL_MESSAGE, RequestCode.LITE_PULL_MESSAGE].map(code => ({
      code,
      needsLeader: false,
      handle: (request, caller) => {
        pullHeaderFromCommand(request, this.#header)
        this.#run(this.#newPull(caller.connection), true)
        return null
      }
    }))
  }

  /** Evaluates a pull that was held: answered in any case. */
  readonly again = (pull: Pull): void => this.#run(pull, false)

  #newPull(connection: Connection): Pull {
    return new Pull(this.#header, connection, this.#broker.platform.clock.monotonicMs())
  }

  #run(pull: Pull, first: boolean): void {
    const refused = this.#checks.check(pull)
    if (refused !== null) {
      pull.connection.respond(pull, refused)
      return
    }
    const reset = this.#broker.resets.find(pull.group, pull.topic, pull.queueId)
    if (reset !== null && this.#isReset(pull, reset)) return
    if (first) this.#commit(pull)
    const result = this.#broker.store.pull({
      topic: pull.topic,
      queueId: pull.queueId,
      offset: pull.offset,
      maxMessages: pull.maxMessages,
      tagHashes: pull.tagHashes,
      filter: pull.filter,
      patienceMs: REPAIR_PATIENCE_MS,
      holdsChunks: true
    })
    if (!(result instanceof Promise)) {
      this.#finish(pull, result, first)
      return
    }
    result.then(
      read => this.#finish(pull, read, first),
      (error: unknown) => this.#failed(pull, error)
    )
  }

  /** True: answered, because its queue was reset to another offset (5.3, useServerSideResetOffset). */
  #isReset(pull: Pull, offset: number): boolean {
    const { resets, store } = this.#broker
    if (pull.offset === offset) {
      resets.followed(pull.group, pull.topic, pull.queueId)
      return false
    }
    if (pull.connection.closed || (pull.flag & CommandFlag.oneway) !== 0) return true
    const head = this.#head
    head.opaque = pull.opaque
    head.serializeType = pull.serializeType
    head.code = ResponseCode.PULL_OFFSET_MOVED
    head.remark = 'OFFSET_RESET'
    head.suggestWhichBrokerId = 0
    head.nextBeginOffset = offset
    head.minOffset = store.minOffset(pull.topic, pull.queueId)
    head.maxOffset = store.maxOffset(pull.topic, pull.queueId)
    this.#write(pull, 0)
    return true
  }

  #write(pull: Pull, bodyBytes: number): void {
    const { connection } = pull
    const room = connection.reserve(PULL_RESPONSE_HEAD_BYTES_MAX)
    connection.commit(this.#writer.write(room.buffer, room.offset, this.#head, bodyBytes))
  }

  #failed(pull: Pull, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error)
    this.#broker.logger.warn('Pull failed', {
      topic: pull.topic,
      queueId: pull.queueId,
      offset: pull.offset,
      reason
    })
    pull.connection.respond(
      pull,
      response(ResponseCode.SYSTEM_ERROR, `store getMessage failed, try again: ${reason}`)
    )
  }

  /** The offset that rides along is the client's progress, once for each pull; a follower leaves it to UPDATE_CONSUMER_OFFSET (15). */
  #commit(pull: Pull): void {
    if ((pull.sysFlag & PullSysFlag.commitOffset) === 0 || pull.commitOffset < 0) return
    this.#broker.offsets.ride(pull.group, pull.topic, pull.queueId, pull.commitOffset)
  }

  #finish(pull: Pull, result: PullResult, first: boolean): void {
    if (pull.connection.closed) return
    const code = pullCode(result.status, pull.offset)
    const behind = this.#isBehind(result.status, code)
    if (
      first &&
      (code === ResponseCode.PULL_NOT_FOUND || behind) &&
      (pull.sysFlag & PullSysFlag.suspend) !== 0 &&
      this.#broker.holds.hold(pull)
    )
      return
    this.#fillHead(pull, result, code, behind)
    const { connection } = pull
    if ((pull.flag & CommandFlag.oneway) !== 0) return
    this.#write(pull, result.bytes)
    if (result.bytes === 0) return
    connection.writeChunks(result.chunks, this.#broker.platform.blocks)
    this.#broker.stats.got(pull.group, pull.topic, pull.queueId, {
      messages: result.messageCount,
      bytes: result.bytes,
      tookMs: this.#broker.platform.clock.monotonicMs() - pull.arrivedMs,
      behindBytes: result.behindBytes,
      lastStoreMs: result.lastStoreTimestamp,
      nextOffset: result.nextBeginOffset
    })
  }

  #fillHead(pull: Pull, result: PullResult, code: number, behind: boolean): void {
    const { values, settings } = this.#broker.config
    const head = this.#head
    head.opaque = pull.opaque
    head.serializeType = pull.serializeType
    head.code = code
    head.remark = result.status
    head.nextBeginOffset = result.nextBeginOffset
    head.minOffset = result.minOffset
    head.maxOffset = result.maxOffset
    head.suggestWhichBrokerId = 0
    const group = pull.settings
    if (values.slaveReadEnable && group !== null)
      head.suggestWhichBrokerId =
        result.behindBytes > settings.memoryReachBytes
          ? group.whichBrokerWhenConsumeSlowly
          : group.brokerId
    if (!behind) return
    head.code = ResponseCode.PULL_RETRY_IMMEDIATELY
    head.nextBeginOffset = pull.offset
    head.suggestWhichBrokerId = group?.brokerId ?? 0
  }

  /** A follower that lags must not send the client back (broker.md 4.2, special cases): it does not have the end of the queue yet. */
  #isBehind(status: PullStatus, code: number): boolean {
    return (
      code === ResponseCode.PULL_OFFSET_MOVED &&
      status !== PullStatus.OFFSET_TOO_SMALL &&
      !this.#broker.isLeader() &&
      !this.#broker.config.values.offsetCheckInSlave
    )
  }
}
