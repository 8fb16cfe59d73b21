import type { Clock } from '../platform/index.ts'

/** Between two rounds, or two tries, of a command. */
export function pauseSeconds(clock: Clock, seconds: number): Promise<void> {
  return new Promise(resolve => {
    clock.after(seconds * 1_000, resolve)
  })
}
