export {
  type Command,
  type CommandContext,
  CommandError,
  flag,
  required,
  value
} from './command.ts'
export type { CommandIo, TextSink } from './io.ts'
export { COMMANDS, runMqadmin } from './mqadmin.ts'
export { type QuickstartOptions, runQuickstart } from './quickstart.ts'
