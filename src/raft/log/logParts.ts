import type { ConfigurationFile } from './configurationFile.ts'
import type { HardStateFile } from './hardState.ts'
import type { IndexFile } from './indexFile.ts'
import type { Segments } from './segments.ts'
import type { TailCache } from './tailCache.ts'
import type { Fault, Recovery } from './types.ts'

/** What recovery hands over to the log. */
export interface LogParts {
  readonly recovery: Recovery
  readonly hardState: HardStateFile
  readonly segments: Segments
  readonly index: IndexFile
  readonly configurations: ConfigurationFile
  readonly tail: TailCache
  readonly faults: Map<number, Fault>
}
