import { CommanderError, Command as Parser } from 'commander'
import { Arguments, type Command, UsageError } from './command.ts'
import { allOptions } from './usage.ts'

/** Reads the words behind a command's name. Throws UsageError; `null` when help was asked for. */
export function parseArguments(command: Command, words: readonly string[]): Arguments | null {
  const options = allOptions(command)
  const parser = new Parser(command.name)
    .helpOption(false)
    .exitOverride()
    .configureOutput({ writeOut() {}, writeErr() {} })
  for (const { short, long, takesValue } of options) {
    const names = short === '' ? `--${long}` : `-${short}, --${long}`
    parser.option(takesValue ? `${names} <arg>` : names)
  }
  try {
    parser.parse([...words], { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError)
      throw new UsageError(sentence(error.message), { cause: error })
    throw error
  }
  const values = new Map<string, string | true>()
  for (const [at, option] of parser.options.entries()) {
    const given: unknown = parser.getOptionValue(option.attributeName())
    const { short, long } = options[at]!
    if (typeof given === 'string' || given === true) values.set(short || long, given)
  }
  if (values.has('h')) return null
  for (const { short, long, required } of options) {
    if (required && !values.has(short))
      throw new UsageError(`the option -${short} (--${long}) is missing`)
  }
  const group = command.oneOf
  if (group !== undefined) {
    const given = group.filter(short => values.has(short)).length
    if (given !== 1) throw new UsageError(`give one of -${group[0]} and -${group[1]}`)
  }
  return new Arguments(values)
}

function sentence(message: string): string {
  return message.replace(/^error: /, '')
}
