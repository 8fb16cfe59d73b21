import { RequestCode } from '../protocol/index.ts'
import { field } from './caller.ts'
import { badArgument } from './errors.ts'
import type { ClientInstance } from './instance.ts'
import { patiently } from './patiently.ts'

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
  const { group, topic, recallHandle, withinMs } = recall
  const brokerName = brokerOf(recallHandle)
  return patiently(instance, topic, withinMs, async () => {
    const address = await instance.leader(topic, brokerName)
    const fields = { producerGroup: group, topic, recallHandle, bname: brokerName }
    const answer = await instance.caller.ask(address, RequestCode.RECALL_MESSAGE, fields)
    return field(address, answer, 'msgId')
  })
}

/** A handle is base64url of `v1 topic brokerName timeMs uniqueKey`. */
function brokerOf(recallHandle: string): string {
  const parts = Buffer.from(recallHandle, 'base64url').toString('utf8').split(' ')
  if (parts.length !== 5 || parts[0] !== 'v1') {
    throw badArgument('the recall handle is none that a send gave')
  }
  return parts[2]!
}
