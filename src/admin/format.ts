/**
 * The part of C's printf that RocketMQ's tools print with: `%s %d %f` with minus, zero, width and precision, `%n` for
 * the end of a line, `%%`. Texts longer than their column are not cut.
 */
export function format(pattern: string, ...values: readonly (string | number | boolean)[]): string {
  let next = 0
  return pattern.replace(
    /%(-?)(0?)(\d*)(?:\.(\d+))?([sdfn%])/g,
    (_, left: string, zero: string, width: string, precision: string | undefined, kind: string) => {
      if (kind === 'n') return '\n'
      if (kind === '%') return '%'
      const value = values[next++] ?? ''
      const text =
        precision === undefined ? String(value) : Number(value).toFixed(Number(precision))
      const columns = Number(width === '' ? 0 : width)
      if (left === '-') return text.padEnd(columns)
      return text.padStart(columns, zero === '0' ? '0' : ' ')
    }
  )
}

/** `yyyy-MM-dd HH:mm:ss,SSS` in local time. */
export function timeWithMillis(wallMs: number): string {
  return `${timeText(wallMs)},${pad(new Date(wallMs).getMilliseconds(), 3)}`
}

/** `yyyy-MM-dd HH:mm:ss` in local time. */
export function timeText(wallMs: number): string {
  const at = new Date(wallMs)
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1, 2)}-${pad(at.getDate(), 2)}`
  return `${day} ${pad(at.getHours(), 2)}:${pad(at.getMinutes(), 2)}:${pad(at.getSeconds(), 2)}`
}

/** Milliseconds since 1970, or `yyyy-MM-dd#HH:mm:ss:SSS` in local time; null for anything else. */
export function parseTime(text: string): number | null {
  if (/^-?\d+$/.test(text)) return Number(text)
  const parts = /^(\d{4})-(\d{2})-(\d{2})#(\d{2}):(\d{2}):(\d{2}):(\d{3})$/.exec(text)
  if (parts === null) return null
  const [year, month, day, hour, minute, second, millis] = parts.slice(1).map(Number)
  return new Date(year!, month! - 1, day!, hour!, minute!, second!, millis!).getTime()
}

/** Columns show the end of a long name rather than its start. */
export function frontCut(text: string, columns: number): string {
  return text.length <= columns ? text : text.slice(text.length - columns)
}

/** `RW-` and the like; X stands for "inherit". */
export function permText(perm: number): string {
  return `${(perm & 4) !== 0 ? 'R' : '-'}${(perm & 2) !== 0 ? 'W' : '-'}${(perm & 1) !== 0 ? 'X' : '-'}`
}

function pad(value: number, digits: number): string {
  return String(value).padStart(digits, '0')
}
