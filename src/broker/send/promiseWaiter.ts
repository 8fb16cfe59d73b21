import type { AppendFailure, BatchAppendWaiter } from '../../store/index.ts'

/** What came of an append that somebody awaits. */
export type AppendOutcome = { stored: true } | { stored: false; reason: AppendFailure }

/** For messages that the broker itself writes, a few a second or many in one entry. */
export class PromiseWaiter implements BatchAppendWaiter {
  queueOffset = 0
  physicalOffset = 0
  storeTimestamp = 0
  physicalOffsets: number[] = []
  queueOffsets: number[] = []
  readonly outcome: Promise<AppendOutcome>
  #resolve: (outcome: AppendOutcome) => void = () => {}

  constructor() {
    this.outcome = new Promise(resolve => {
      this.#resolve = resolve
    })
  }

  stored(): void {
    this.#resolve({ stored: true })
  }

  failed(reason: AppendFailure): void {
    this.#resolve({ stored: false, reason })
  }
}
