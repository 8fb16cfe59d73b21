/**
 * Makes a failing run small: `fails` plays what is given and says whether it still fails. Both look for a small answer,
 * not for the smallest, and give up on what does not shrink.
 */
export type Fails<T> = (value: T) => Promise<boolean>

/** The smallest count at or below `known` that fails, found by halving; a run that is not monotone gets a larger one. */
export async function shrinkCount(known: number, fails: Fails<number>): Promise<number> {
  let low = 0
  let high = known
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (await fails(middle)) high = middle
    else low = middle + 1
  }
  return high
}

/** Delta debugging: what can be left out of `items` is, in parts that get smaller (ddmin). */
export async function shrinkList<T>(items: readonly T[], fails: Fails<readonly T[]>): Promise<T[]> {
  let kept = [...items]
  if (kept.length > 0 && (await fails([]))) return []
  for (let parts = 2; kept.length > 1; ) {
    const size = Math.ceil(kept.length / parts)
    let shrunk = false
    for (let from = 0; from < kept.length; ) {
      const rest = [...kept.slice(0, from), ...kept.slice(from + size)]
      if (rest.length < kept.length && (await fails(rest))) {
        kept = rest
        shrunk = true
      } else {
        from += size
      }
    }
    if (shrunk) parts = Math.max(2, Math.min(parts, kept.length))
    else if (size === 1) break
    else parts = Math.min(kept.length, parts * 2)
  }
  return kept
}

/** "1..3,7" for 1, 2, 3, 7: what a command line can carry. */
export function showRanges(numbers: readonly number[]): string {
  const sorted = [...numbers].sort((a, b) => a - b)
  const parts: string[] = []
  for (let at = 0; at < sorted.length; ) {
    let end = at
    while (end + 1 < sorted.length && sorted[end + 1] === sorted[end]! + 1) end += 1
    parts.push(end === at ? `${sorted[at]}` : `${sorted[at]}..${sorted[end]}`)
    at = end + 1
  }
  return parts.join(',')
}

export function parseRanges(text: string): number[] {
  const numbers: number[] = []
  for (const part of text.split(',')) {
    if (part === '') continue
    const [first = '', last = first] = part.split('..')
    const [low, high] = [Number(first), Number(last)]
    if (!Number.isSafeInteger(low) || !Number.isSafeInteger(high)) {
      throw new Error(`${text}: use 1..3,7`)
    }
    for (let n = low; n <= high; n++) numbers.push(n)
  }
  return numbers
}
