import { type RemotingCommand, ResponseCode, request, SerializeType } from '../protocol/index.ts'
import { RemotingClient, RemotingError, type RemotingErrorCode } from '../remoting/index.ts'
import { asError, ClientError, type ClientErrorCode, refused } from './errors.ts'
import type { ResolvedOptions } from './options.ts'

/** Header fields of a request; null and undefined ones are left out. */
export type Fields = Readonly<Record<string, string | number | boolean | null | undefined>>

export interface CallOptions {
  body?: Buffer | null
  /** Default: the client's `callTimeoutMs`. */
  timeoutMs?: number
}

const CODE_OF: Record<RemotingErrorCode, ClientErrorCode> = {
  LMQ_BAD_ADDRESS: 'BAD_ARGUMENT',
  LMQ_CONNECT_FAILED: 'CONNECTION',
  LMQ_CONNECTION_CLOSED: 'CONNECTION',
  LMQ_REQUEST_TIMEOUT: 'TIMEOUT',
  LMQ_TOO_MANY_REQUESTS: 'TOO_MANY_IN_FLIGHT',
  LMQ_FRAME_TOO_LARGE: 'BAD_ARGUMENT',
  LMQ_CLOSED: 'CLOSED'
}

/** Requests by code and fields on top of the remoting client; every failure is a `ClientError`. */
export class Caller {
  readonly remoting: RemotingClient
  readonly #serializeType: number
  readonly #timeoutMs: number

  constructor(options: ResolvedOptions) {
    this.remoting = new RemotingClient({
      clock: options.platform.clock,
      network: options.platform.network,
      logger: options.logger
    })
    this.#serializeType = options.binaryHeaders ? SerializeType.ROCKETMQ : SerializeType.JSON
    this.#timeoutMs = options.callTimeoutMs
  }

  /** Resolves to the answer whatever its code is. */
  async call(
    address: string,
    code: number,
    fields: Fields = {},
    options: CallOptions = {}
  ): Promise<RemotingCommand> {
    const command = this.command(code, fields, options.body ?? null)
    return this.send(address, command, options.timeoutMs ?? this.#timeoutMs)
  }

  /** Resolves to the answer when its code is SUCCESS, else rejects with REFUSED. */
  async ask(
    address: string,
    code: number,
    fields: Fields = {},
    options: CallOptions = {}
  ): Promise<RemotingCommand> {
    const answer = await this.call(address, code, fields, options)
    if (answer.code !== ResponseCode.SUCCESS) throw refused(address, answer.code, answer.remark)
    return answer
  }

  /** A request that nobody answers; rejects when it could not be handed to a connection. */
  async sendOneway(address: string, command: RemotingCommand): Promise<void> {
    try {
      await this.remoting.oneway(address, command)
    } catch (error) {
      throw toClientError(address, error)
    }
  }

  command(code: number, fields: Fields, body: Buffer | null): RemotingCommand {
    const texts: Record<string, string> = {}
    for (const [name, value] of Object.entries(fields)) {
      if (value !== null && value !== undefined) texts[name] = String(value)
    }
    const command = request(code, texts, body)
    command.serializeType = this.#serializeType
    return command
  }

  async send(
    address: string,
    command: RemotingCommand,
    timeoutMs: number
  ): Promise<RemotingCommand> {
    try {
      return await this.remoting.invoke(address, command, timeoutMs)
    } catch (error) {
      throw toClientError(address, error)
    }
  }

  close(): Promise<void> {
    return this.remoting.close()
  }
}

function toClientError(address: string, thrown: unknown): ClientError {
  if (thrown instanceof ClientError) return thrown
  const code = thrown instanceof RemotingError ? CODE_OF[thrown.code] : 'CONNECTION'
  return new ClientError(code, asError(thrown).message, { address, cause: thrown })
}

/** A header field that the answer must have. */
export function field(address: string, answer: RemotingCommand, name: string): string {
  const value = answer.extFields?.[name]
  if (value === undefined) {
    throw new ClientError('MALFORMED_ANSWER', `the answer of ${address} lacks the field ${name}`, {
      address
    })
  }
  return value
}

export function numberField(address: string, answer: RemotingCommand, name: string): number {
  const value = Number(field(address, answer, name))
  if (!Number.isSafeInteger(value)) {
    throw new ClientError('MALFORMED_ANSWER', `the field ${name} of ${address} is not a number`, {
      address
    })
  }
  return value
}
