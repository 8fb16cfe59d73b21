import type { Platform } from '../../platform/index.ts'
import type { Layout } from './layout.ts'
import type { Processes } from './processes.ts'

/** What the commands on a local cluster work with. */
export interface Session {
  platform: Platform
  layout: Layout
  processes: Processes
  print: (line: string) => void
  /** Runs one of mqadmin's commands with its output on the terminal; resolves to its exit status. */
  mqadmin: (...argv: string[]) => Promise<number>
}
