import {
  OWN_LANGUAGE,
  OWN_VERSION,
  type RemotingCommand,
  ResponseCode,
  response,
  SendResponseWriter,
  Version
} from '../../protocol/index.ts'
import type { AppendFailure, AppendRefusal } from '../../store/index.ts'
import type { LiveConfig } from '../config/index.ts'

const illegalRemark =
  'the message is illegal, maybe msg body or properties length not matched. msg body length limit %dB, msg properties length limit 32KB.'
const topicDeletedRemark = 'topic not exist, apply first please! It is being deleted.'
const unavailableRemark =
  'service not available now. It may be caused by one of the following reasons: the disk is full, this broker does not lead its group, or it is being shut down.'

/** All answers to sends carry the region and the trace switch (remoting.md 2.3). */
export class SendAnswers {
  readonly #config: LiveConfig
  readonly #storeHost: Buffer
  #writer: SendResponseWriter
  #fields: Readonly<Record<string, string>>

  constructor(config: LiveConfig, storeHost: Buffer) {
    this.#config = config
    this.#storeHost = storeHost
    this.#writer = this.#newWriter()
    this.#fields = this.#newFields()
    config.onChange(() => {
      this.#writer = this.#newWriter()
      this.#fields = this.#newFields()
    })
  }

  /** Writes answers of code 0 as bytes. */
  get writer(): SendResponseWriter {
    return this.#writer
  }

  #newWriter(): SendResponseWriter {
    return new SendResponseWriter({
      version: OWN_VERSION,
      language: OWN_LANGUAGE,
      regionId: this.#config.settings.regionId,
      traceOn: this.#config.values.traceOn,
      storeHost: this.#storeHost
    })
  }

  #newFields(): Readonly<Record<string, string>> {
    const { regionId, traceOn } = this.#config.settings
    return { MSG_REGION: regionId, TRACE_ON: traceOn }
  }

  error(code: number, remark: string): RemotingCommand {
    return this.answer(code, remark, {})
  }

  /** With fields beyond the two that all answers have. */
  answer(
    code: number,
    remark: string | null,
    fields: Readonly<Record<string, string>>
  ): RemotingCommand {
    return response(code, remark, { ...fields, ...this.#fields })
  }

  illegal(): RemotingCommand {
    const remark = illegalRemark.replace('%d', String(this.#config.values.maxMessageSize))
    return this.error(ResponseCode.MESSAGE_ILLEGAL, remark)
  }

  /** A wrong parameter: 29 to clients that know it, else 1 (observed.md). */
  badParameter(version: number, remark: string): RemotingCommand {
    return this.error(badParameterCode(version), remark)
  }

  /** `notLeader` is not answered here: such a request is forwarded. */
  refused(reason: AppendRefusal, version: number): RemotingCommand {
    switch (reason) {
      case 'busy':
        // 2 is not tried again by clients below 5.0 (broker.md 3.8), and being busy passes.
        return this.error(
          version >= Version.V5_0_0 ? ResponseCode.SYSTEM_BUSY : ResponseCode.SYSTEM_ERROR,
          '[PC_SYNCHRONIZED]broker busy, start flow control for a while'
        )
      case 'tooLarge':
      case 'illegal':
        return this.illegal()
      case 'topicDeleted':
        return this.error(ResponseCode.TOPIC_NOT_EXIST, topicDeletedRemark)
      case 'diskFull':
      case 'stopped':
      case 'notLeader':
        return this.error(ResponseCode.SERVICE_NOT_AVAILABLE, unavailableRemark)
    }
  }

  /** raft.md 4.14. */
  failed(reason: AppendFailure): RemotingCommand {
    if (reason === 'timeout')
      return this.error(ResponseCode.SYSTEM_ERROR, 'in-sync replicas not enough')
    return this.error(ResponseCode.SERVICE_NOT_AVAILABLE, unavailableRemark)
  }
}

export function badParameterCode(version: number): number {
  return version >= Version.V5_0_0 ? ResponseCode.INVALID_PARAMETER : ResponseCode.SYSTEM_ERROR
}
