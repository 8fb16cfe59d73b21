import { bean } from '../json/bean.ts'
import { integer, type Of } from '../json/schema.ts'

/** Version of a table (remoting.md 3.2). 4.9 has no stateVersion. */
export const DataVersion = bean('DataVersion', {
  counter: integer(),
  stateVersion: integer(),
  timestamp: integer()
})
export type DataVersion = Of<typeof DataVersion>

/** Equal as 5.3 sees it; bodies of 4.9 read as stateVersion 0. */
export function sameDataVersion(a: DataVersion, b: DataVersion): boolean {
  return a.counter === b.counter && a.timestamp === b.timestamp && a.stateVersion === b.stateVersion
}
