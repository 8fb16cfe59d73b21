import { configKeys } from './table.ts'

/** So many letters too many, missing or wrong still look like a typing error. */
const editsMax = 2
/** In a shorter name two letters are half of it. */
const lengthMin = 6
/** Longer than any key by more than the edits: not worth comparing. */
const lengthMax = 64

/** The key that somebody may have meant; null when none is near. */
export function nearestKey(name: string): string | null {
  if (name.length > lengthMax) return null
  const wanted = name.toLowerCase()
  let nearest: string | null = null
  let fewest = editsMax + 1
  for (const key of Object.keys(configKeys)) {
    const edits = distance(wanted, key.toLowerCase(), fewest)
    if (edits < fewest && (edits === 0 || name.length >= lengthMin)) {
      nearest = key
      fewest = edits
    }
  }
  return nearest
}

/** Letters to put in, take out or replace; `limit` when it is that or more. */
function distance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return Math.min(limit, row[b.length]!)
}
