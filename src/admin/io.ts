import type { Platform } from '../platform/index.ts'

/** Where text goes; `process.stdout` is one. */
export interface TextSink {
  write(text: string): unknown
}

/** The world of a command, given by whoever starts it. */
export interface CommandIo {
  readonly stdout: TextSink
  readonly stderr: TextSink
  readonly env: Readonly<Record<string, string | undefined>>
  readonly platform: Platform
}
