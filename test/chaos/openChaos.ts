import type { HistoryEvent } from './events.ts'

/**
 * The history as OpenChaos writes it (raft.md 5.8), tab-separated. A request is `client op REQUEST value shardingKey time extra`, its
 * answer `client op RESPONSE result value shardingKey time latency extra endToEndLatency`, a fault `fault name start|end time nodes`.
 */
export function openChaosLines(events: readonly HistoryEvent[]): string[] {
  const lines: string[] = []
  const began = new Map<string, number>()
  for (const event of events) {
    const time = Math.round(event.at)
    if (event.op === 'send') {
      const key = event.value.split(':')[0] ?? ''
      if (event.kind === 'invoke') {
        began.set(event.value, event.at)
        lines.push([event.client, 'enqueue', 'REQUEST', event.value, key, time, ''].join('\t'))
        continue
      }
      const latency = Math.round(event.at - (began.get(event.value) ?? event.at))
      const result = event.kind === 'ok' ? 'SUCCESS' : 'UNKNOWN'
      const fields = [event.client, 'enqueue', 'RESPONSE', result, event.value, key, time, latency]
      lines.push([...fields, event.error ?? '', -1].join('\t'))
    } else if (event.op === 'deliver') {
      const key = event.value.split(':')[0] ?? ''
      const endToEnd = Math.round(event.at - (began.get(event.value) ?? event.at))
      const fields = [event.client, 'dequeue', 'RESPONSE', 'SUCCESS', event.value, key, time, 0]
      lines.push([...fields, `${event.topic}-${event.queue}-${event.offset}`, endToEnd].join('\t'))
    } else if (event.op === 'fault' && event.kind !== 'healed') {
      lines.push(['fault', event.fault, event.kind, time, event.nodes.join(',')].join('\t'))
    }
  }
  return lines
}
