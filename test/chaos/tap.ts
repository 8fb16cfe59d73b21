import { writeFile } from 'node:fs/promises'
import type { Episode } from './episode.ts'

/** A TAP line for every fault and every check of an episode. */
export async function writeTap(
  file: string,
  episodes: readonly Episode[],
  seed: number,
  /** Why the run ended early, or null. */
  ended: string | null
): Promise<void> {
  const lines: string[] = []
  const say = (good: boolean, what: string): void => {
    lines.push(
      `${good ? 'ok' : 'not ok'} ${lines.length + 1} - chaos seed ${seed}: ${what.replaceAll('#', '')}`
    )
  }
  for (const { number, judgement, complaints } of episodes) {
    const { findings, outages } = judgement
    for (const { fault, nodes, gapMs } of outages) {
      const bad = complaints.some(text => text.startsWith(fault))
      say(
        !bad,
        `${fault} of ${nodes.join(', ')}, ${Math.round(gapMs)} ms without an acknowledgement`
      )
    }
    for (const text of complaints) say(false, text)
    const { acknowledged, delivered, violations } = findings
    say(acknowledged > 0, `${acknowledged} sends of cluster ${number} are acknowledged`)
    say(
      violations.length === 0,
      `all of them are kept, in order, and delivered (${delivered} deliveries)`
    )
    for (const text of violations) say(false, text)
  }
  if (ended !== null) say(false, ended)
  await writeFile(file, `TAP version 14\n${lines.join('\n')}\n1..${lines.length}\n`)
}
