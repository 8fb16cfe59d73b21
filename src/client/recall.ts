import { RequestCode } from '../protocol/index.ts'
import { field } from './caller.ts'
import { badArgument, ClientError } from './errors.ts'
import type { ClientInstance } from './instance.ts'
import { pause } from './sleeper.ts'

const RETRY_PAUSE_MS = 100

/** RECALL_MESSAGE (370, remoting.md 2.12); resolves to the id of the message that was taken back. Goes on while there is no leader. */
export async function recallMessage(
  instance: ClientInstance,
  recall: {
    readonly group: string
    readonly topic: string
    readonly recallHandle: string
    readonly withinMs: number
  }
): Promise<string> {
  const { clock } = instance.platform
  const brokerName = brokerOf(recall.recallHandle)
  const untilMs = clock.monotonicMs() + recall.withinMs
  for (;;) {
    try {
      const address = await instance.leader(recall.topic, brokerName)
      const answer = await instance.caller.ask(address, RequestCode.RECALL_MESSAGE, {
        producerGroup: recall.group,
        topic: recall.topic,
        recallHandle: recall.recallHandle,
        bname: brokerName
      })
      return field(address, answer, 'msgId')
    } catch (error) {
      const passing =
        error instanceof ClientError &&
        error.retryable &&
        (error.code !== 'REFUSED' || error.responseCode === 14)
      if (!passing || clock.monotonicMs() + RETRY_PAUSE_MS >= untilMs) throw error
      await pause(clock, RETRY_PAUSE_MS)
      await instance.routes.refresh(recall.topic).catch(() => null)
    }
  }
}

/** A handle is base64url of `v1 topic brokerName timeMs uniqueKey`. */
function brokerOf(recallHandle: string): string {
  const parts = Buffer.from(recallHandle, 'base64url').toString('utf8').split(' ')
  if (parts.length !== 5 || parts[0] !== 'v1') {
    throw badArgument('the recall handle is none that a send gave')
  }
  return parts[2]!
}
