import { Admin, Producer, parseNameServers } from '../client/index.ts'
import type { Platform } from '../platform/index.ts'
import { format } from './format.ts'
import type { CommandIo } from './io.ts'

/** One option of a command, as usage shows it. */
export interface OptionSpec {
  /** One letter; '' for an option that has only a long name. */
  readonly short: string
  readonly long: string
  readonly takesValue: boolean
  readonly required: boolean
  readonly description: string
}

export interface Command {
  readonly name: string
  readonly description: string
  readonly options: readonly OptionSpec[]
  /** Short names of two options of which exactly one must be given; usage shows them as alternatives. */
  readonly oneOf?: readonly [string, string]
  run(context: CommandContext): Promise<void>
}

/** Says what is wrong with how a command was called: usage is shown, exit status 1. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** A command could not do what it was asked: one sentence on stderr, exit status 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
}

/** An option with a value. */
export function value(short: string, long: string, description: string): OptionSpec {
  return { short, long, takesValue: true, required: false, description }
}

/** An option with a value that must be given. */
export function required(short: string, long: string, description: string): OptionSpec {
  return { short, long, takesValue: true, required: true, description }
}

/** An option that is there or not. */
export function flag(short: string, long: string, description: string): OptionSpec {
  return { short, long, takesValue: false, required: false, description }
}

/** What the options of one call say, by short name. */
export class Arguments {
  readonly #values: ReadonlyMap<string, string | true>

  constructor(values: ReadonlyMap<string, string | true>) {
    this.#values = values
  }

  has(short: string): boolean {
    return this.#values.has(short)
  }

  /** Trimmed; null when it was not given. */
  get(short: string): string | null {
    const given = this.#values.get(short)
    return typeof given === 'string' ? given.trim() : null
  }

  /** Of an option that the parser has seen to be there. */
  need(short: string): string {
    const given = this.get(short)
    if (given === null) throw new UsageError(`the option -${short} is missing`)
    return given
  }

  whole(short: string, fallback: number): number {
    const given = this.get(short)
    if (given === null) return fallback
    if (!/^-?\d+$/.test(given))
      throw new UsageError(`-${short} wants a whole number, not "${given}"`)
    return Number(given)
  }

  /** `true` or `false` as text, as most options of the original have it. */
  truth(short: string, fallback: boolean): boolean {
    const given = this.get(short)
    if (given === null) return fallback
    if (!/^(true|false)$/i.test(given)) {
      throw new UsageError(`-${short} wants true or false, not "${given}"`)
    }
    return given.toLowerCase() === 'true'
  }
}

/** What a running command works with. */
export class CommandContext {
  readonly args: Arguments
  readonly io: CommandIo
  #admin: Admin | null = null

  constructor(args: Arguments, io: CommandIo) {
    this.args = args
    this.io = io
  }

  get platform(): Platform {
    return this.io.platform
  }

  /** Connects at the first use; closed when the command ends. */
  get admin(): Admin {
    this.#admin ??= new Admin({ nameServers: [...this.nameServers], platform: this.platform })
    return this.#admin
  }

  /** From `-n`, else from NAMESRV_ADDR. */
  get nameServers(): readonly string[] {
    const given = this.args.get('n') ?? this.io.env['NAMESRV_ADDR'] ?? ''
    if (given.trim() === '') {
      throw new CommandError(
        'no name server is known: give -n host:port or set NAMESRV_ADDR in the environment'
      )
    }
    return parseNameServers(given)
  }

  /** Prints with `format`. */
  print(pattern: string, ...values: readonly (string | number | boolean)[]): void {
    this.io.stdout(format(pattern, ...values))
  }

  /** Prints as it is. */
  write(text: string): void {
    this.io.stdout(text)
  }

  /** Something went wrong that does not end the command. */
  warn(text: string): void {
    this.io.stderr(`${text}\n`)
  }

  /** A started producer; the caller closes it. */
  async producer(group: string): Promise<Producer> {
    const producer = new Producer({
      group,
      nameServers: [...this.nameServers],
      platform: this.platform
    })
    await producer.start()
    return producer
  }

  /** The address of `-b`, or the leaders of the cluster of `-c`. */
  async targets(): Promise<readonly string[]> {
    const broker = this.args.get('b')
    if (broker !== null) return [broker]
    const cluster = this.args.need('c')
    const leaders = await this.admin.leaders(cluster)
    if (leaders.length === 0) {
      throw new CommandError(`no broker group of the cluster ${cluster} has a leader at present`)
    }
    return leaders
  }

  async close(): Promise<void> {
    await this.#admin?.close()
  }
}

export const BROKER_OR_CLUSTER: readonly OptionSpec[] = [
  value('b', 'brokerAddr', 'address of one broker, host:port'),
  value('c', 'clusterName', 'name of a cluster, for all of its broker groups')
]
