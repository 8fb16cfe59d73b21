import type { Platform } from '../platform/index.ts'

/** Takes text as it is to be shown. */
export type TextSink = (text: string) => void

/** The world of a command, given by whoever starts it. */
export interface CommandIo {
  readonly stdout: TextSink
  readonly stderr: TextSink
  readonly env: Readonly<Record<string, string | undefined>>
  readonly platform: Platform
}
