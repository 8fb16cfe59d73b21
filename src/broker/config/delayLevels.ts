const unitMs: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000
}
const levelText = /^(\d{1,9})([smhd])$/
const levelsMax = 1_000

/** Reads `messageDelayLevel` (broker.md 5.1): the delays in ms, level 1 first; null when the text is not understood. */
export function parseDelayLevels(text: string): number[] | null {
  const levels: number[] = []
  for (const part of text.trim().split(/\s+/)) {
    const match = levelText.exec(part)
    if (match === null) return null
    levels.push(Number(match[1]) * unitMs[match[2] as string]!)
  }
  return levels.length <= levelsMax ? levels : null
}
