import { RequestCode, ResponseCode, request, sendExtFields } from '../src/protocol/index.ts'
import type { RemotingClient } from '../src/remoting/index.ts'

const TRY_MS = 1_000
const PAUSE_MS = 10
const QUEUES = 4

/** Fields of a send of one message (or of a batch) to a queue. */
export function sendFields(
  topic: string,
  queueId: number,
  batch: boolean,
  properties = ''
): Record<string, string> {
  return sendExtFields({
    producerGroup: 'bench_probe',
    topic,
    defaultTopic: 'TBW102',
    defaultTopicQueueNums: QUEUES,
    queueId,
    sysFlag: 0,
    bornTimestamp: Date.now(),
    flag: 0,
    properties,
    reconsumeTimes: 0,
    unitMode: false,
    maxReconsumeTimes: null,
    batch,
    brokerName: ''
  })
}

/**
 * Sends small messages to all brokers again and again until one acknowledges; resolves to how long that took, ms.
 * @throws Error after `timeoutMs`.
 */
export async function untilServed(
  client: RemotingClient,
  addresses: readonly string[],
  topic: string,
  timeoutMs: number
): Promise<number> {
  const startedMs = performance.now()
  let served = false
  let lastWord = 'nobody answers'
  const ask = async (address: string): Promise<void> => {
    while (!served && performance.now() - startedMs < timeoutMs) {
      try {
        const command = request(
          RequestCode.SEND_MESSAGE_V2,
          sendFields(topic, 0, false),
          Buffer.alloc(10, 'x')
        )
        const { code, remark } = await client.invoke(address, command, TRY_MS)
        if (code === ResponseCode.SUCCESS) served = true
        else lastWord = `${address}: ${code} ${remark}`
      } catch (error) {
        lastWord = `${address}: ${(error as Error).message}`
      }
      if (!served) await new Promise(resolve => setTimeout(resolve, PAUSE_MS))
    }
  }
  await Promise.race(addresses.map(ask))
  if (!served) throw new Error(`no send was taken in ${timeoutMs / 1000} s: ${lastWord}`)
  return performance.now() - startedMs
}
