import { ResponseCode } from '../protocol/index.ts'
import { ClientError } from './errors.ts'
import type { ClientInstance } from './instance.ts'
import { pause } from './sleeper.ts'

const RETRY_PAUSE_MS = 100

/** Tries again, with the topic's route asked for anew, while the failure is one that a new leader cures; `withinMs` in all. */
export async function patiently<T>(
  instance: ClientInstance,
  topic: string,
  withinMs: number,
  run: () => Promise<T>
): Promise<T> {
  const { clock } = instance.platform
  const deadlineMs = clock.monotonicMs() + withinMs
  for (;;) {
    try {
      return await run()
    } catch (error) {
      const passing =
        error instanceof ClientError &&
        error.retryable &&
        (error.code !== 'REFUSED' || error.responseCode === ResponseCode.SERVICE_NOT_AVAILABLE)
      if (!passing || clock.monotonicMs() + RETRY_PAUSE_MS >= deadlineMs) throw error
      await pause(clock, RETRY_PAUSE_MS)
      await instance.routes.refresh(topic).catch(() => null)
    }
  }
}
