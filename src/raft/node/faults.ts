import type { Fault as CoreFault } from '../core/index.ts'
import type { Fault } from '../log/index.ts'

/** A damaged entry as the core knows it. */
export function coreFault(fault: Fault): CoreFault {
  return {
    index: fault.index,
    term: fault.term ?? 0,
    headerCrc: fault.headerCrc ?? -1,
    // Without a header the place is no more than a guess, and for all but the first of several in a row a wrong one.
    positionBytes: fault.term === null ? -1 : fault.position,
    previousEndBytes: fault.previousEnd ?? -1
  }
}
