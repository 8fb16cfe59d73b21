import type { Clock } from '../platform/index.ts'

export function pauseSeconds(clock: Clock, seconds: number): Promise<void> {
  return new Promise(resolve => {
    clock.after(seconds * 1_000, resolve)
  })
}
