import type { RemotingCommand } from '../protocol/index.ts'
import { type Caller, type CallOptions, type Fields, field } from './caller.ts'
import { ClientError } from './errors.ts'
import type { ResolvedOptions } from './options.ts'

/**
 * The list of name servers. Questions go to one of them, and stay with it until it fails; changes go to all
 * of them, because name servers do not talk to each other (remoting.md 5.3).
 */
export class NameServers {
  readonly addresses: readonly string[]
  readonly #caller: Caller
  #current: number

  constructor(options: ResolvedOptions, caller: Caller) {
    this.addresses = options.nameServers
    this.#caller = caller
    this.#current = options.platform.random.below(options.nameServers.length)
  }

  /** Asks one name server, the next one when it cannot be reached; rejects when none can be. */
  async call(code: number, fields: Fields = {}, options: CallOptions = {}): Promise<Answer> {
    let last: ClientError | null = null
    for (let tried = 0; tried < this.addresses.length; tried++) {
      const asked = this.#current
      const address = this.addresses[asked]!
      try {
        return { address, command: await this.#caller.call(address, code, fields, options) }
      } catch (error) {
        if (!(error instanceof ClientError) || !error.retryable) throw error
        last = error
        // Another call may have moved on already: then its choice stands.
        if (this.#current === asked) this.#current = (asked + 1) % this.addresses.length
      }
    }
    const where = this.addresses.join(', ')
    throw new ClientError('NO_NAME_SERVER', `no name server answers (${where}): ${last?.message}`, {
      cause: last
    })
  }

  /** The same, when only SUCCESS will do. */
  async ask(code: number, fields: Fields = {}, options: CallOptions = {}): Promise<Answer> {
    const answer = await this.call(code, fields, options)
    if (answer.command.code !== 0) {
      throw new ClientError('REFUSED', answer.command.remark ?? `code ${answer.command.code}`, {
        responseCode: answer.command.code,
        address: answer.address
      })
    }
    return answer
  }

  /** Asks every name server in turn; the first refusal or failure ends it. */
  async askEach(code: number, fields: Fields = {}, options: CallOptions = {}): Promise<Answer[]> {
    const answers: Answer[] = []
    for (const address of this.addresses) {
      answers.push({ address, command: await this.#caller.ask(address, code, fields, options) })
    }
    return answers
  }
}

export interface Answer {
  readonly address: string
  readonly command: RemotingCommand
}

export function answerField(answer: Answer, name: string): string {
  return field(answer.address, answer.command, name)
}
