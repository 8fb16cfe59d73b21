import type { Logger } from '../platform/index.ts'
import type { NamesrvConfig } from './config.ts'
import type { KvTable } from './kvTable.ts'
import type { RouteTable } from './routeTable.ts'

/** What the handlers of one name server work on. */
export interface NameServerContext {
  readonly config: NamesrvConfig
  readonly table: RouteTable
  readonly kv: KvTable
  readonly log: Logger
  /** Monotonic time. */
  nowMs(): number
  /** Whether routes are answered yet (`needWaitForService`). */
  ready(): boolean
  /** Writes the configuration file. */
  saveConfig(): Promise<void>
}
