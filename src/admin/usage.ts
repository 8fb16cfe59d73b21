import { type Command, flag, type OptionSpec, value } from './command.ts'
import { format } from './format.ts'

const WIDTH = 110

/** Options that every command has. */
const GLOBAL_OPTIONS: readonly OptionSpec[] = [
  flag('h', 'help', 'Print help'),
  value('n', 'namesrvAddr', "Name server address list, eg: '192.168.0.1:9876;192.168.0.2:9876'")
]

/** All options of a command in the order of usage: by letter, without regard to case. */
export function allOptions(command: Command): readonly OptionSpec[] {
  const key = (option: OptionSpec): string => (option.short || option.long).toLowerCase()
  return [...command.options, ...GLOBAL_OPTIONS].sort((a, b) => (key(a) < key(b) ? -1 : 1))
}

/** Usage of one command in the original's layout: a line with all options, then one paragraph for each. */
export function usageText(command: Command): string {
  const options = allOptions(command)
  const words = ['usage: mqadmin', command.name]
  const alternatives: readonly string[] = command.oneOf ?? []
  for (const option of options) {
    if (option.short !== '' && alternatives.includes(option.short)) {
      if (option.short !== alternatives[0]) continue
      const both = alternatives.map(short => options.find(o => o.short === short)!)
      words.push(both.map(plainForm).join(' | '))
    } else {
      words.push(option.required ? plainForm(option) : `[${plainForm(option)}]`)
    }
  }
  const lines = wrap(words.join(' '), 'usage: '.length)
  const left = options.map(option => ` ${longForm(option)}`)
  const column = Math.max(...left.map(text => text.length)) + 3
  options.forEach((option, at) => {
    lines.push(...wrap(`${left[at]!.padEnd(column)}${option.description}`, column))
  })
  return `${lines.join('\n')}\n`
}

/** What `mqadmin` without a command prints. */
export function overviewText(commands: readonly Command[]): string {
  const lines = commands.map(command => format('   %-20s %s%n', command.name, command.description))
  return (
    `The most commonly used mqadmin commands are:\n${lines.join('')}\n` +
    "See 'mqadmin help <command>' for more information on a specific command.\n"
  )
}

function plainForm(option: OptionSpec): string {
  const name = option.short === '' ? `--${option.long}` : `-${option.short}`
  return option.takesValue ? `${name} <arg>` : name
}

function longForm(option: OptionSpec): string {
  const names = option.short === '' ? `   --${option.long}` : `-${option.short},--${option.long}`
  return option.takesValue ? `${names} <arg>` : names
}

/** Breaks at blanks so that no line is longer than WIDTH; following lines are indented. */
function wrap(text: string, indent: number): string[] {
  const lines: string[] = []
  let rest = text
  while (rest.length > WIDTH) {
    const at = rest.lastIndexOf(' ', WIDTH)
    if (at <= indent) break
    lines.push(rest.slice(0, at).trimEnd())
    rest = `${' '.repeat(indent)}${rest.slice(at + 1).trimStart()}`
  }
  lines.push(rest)
  return lines
}
