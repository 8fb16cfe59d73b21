import { ClientError } from '../../src/client/index.ts'
import type { SimProcess } from './machine.ts'

/** By the clock of the process: never resolves when that was killed. */
export function pause(process: SimProcess, ms: number): Promise<void> {
  return new Promise(resolve => {
    process.platform.clock.after(ms, resolve)
  })
}

/** Again and again with pauses, until it succeeds. The client's own errors are what a cluster in trouble may answer with; anything else is a bug. */
export async function patiently<T>(
  process: SimProcess,
  retryMs: number,
  run: () => Promise<T>,
  failed: (error: ClientError) => void = () => {}
): Promise<T> {
  for (;;) {
    try {
      return await run()
    } catch (error) {
      if (!(error instanceof ClientError)) throw error
      failed(error)
      await pause(process, retryMs)
    }
  }
}
