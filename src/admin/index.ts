export type { CommandIo, TextSink } from './io.ts'
export { COMMANDS, runMqadmin } from './mqadmin.ts'
export { type QuickstartOptions, runQuickstart } from './quickstart.ts'
