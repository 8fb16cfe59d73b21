import { Properties } from 'properties-file'
import { escapeKey, escapeValue } from 'properties-file/escape'

/** A file in the form of java.util.Properties (broker.md 2.2). */
export interface PropertiesFile {
  /** In the order of the file; the last of equal keys wins. Values keep white space at their end, as in Java. */
  entries: Map<string, string>
  /** Line, counted from 1, on which the winning entry of a key begins: for messages. */
  lines: Map<string, number>
}

/**
 * Reads `key=value` text. Bytes are taken as ISO-8859-1, as Java takes files; text that came over the network (UTF-8) is handed in as a
 * string. Never fails: whatever it is, it has keys and values.
 */
export function parsePropertiesFile(content: Buffer | string): PropertiesFile {
  const parsed = new Properties(typeof content === 'string' ? content : content.toString('latin1'))
  const entries = new Map<string, string>()
  const lines = new Map<string, number>()
  for (const property of parsed.collection) {
    entries.set(property.key, property.value)
    lines.set(property.key, property.startingLineNumber)
  }
  return { entries, lines }
}

/** Text for a file: keys and values escaped, other than ASCII as \uXXXX, one entry a line. */
export function writePropertiesFile(entries: Iterable<readonly [string, string]>): string {
  let text = ''
  for (const [key, value] of entries)
    text += `${escapeKey(key, true)}=${escapeValue(value, true)}\n`
  return text
}

/**
 * The file's text with other values for some keys: comments, order, separators and all other lines stay; a key that is not there yet comes to
 * the end. Of several lines with one key the last is changed, since that one counts.
 */
export function changePropertiesFile(
  text: string,
  changes: Iterable<readonly [string, string]>
): string {
  const newline = text.includes('\r\n') ? '\r\n' : '\n'
  const lines = text.split(/\r?\n/)
  const last = new Map(new Properties(text).collection.map(entry => [entry.key, entry]))
  // From the end on, so that the numbers of lines further up stay true.
  const found: { start: number; end: number; line: string }[] = []
  let added = ''
  for (const [key, value] of changes) {
    const entry = last.get(key)
    const name = escapeKey(key, true)
    if (entry === undefined) {
      added += `${name}=${escapeValue(value, true)}${newline}`
    } else if (entry.value !== value) {
      const start = entry.startingLineNumber - 1
      const indent = /^[ \t\f]*/.exec(lines[start]!)![0]
      const line = `${indent}${name}${entry.separator || '='}${escapeValue(value, true)}`
      found.push({ start, end: entry.endingLineNumber, line })
    }
  }
  found.sort((a, b) => b.start - a.start)
  for (const { start, end, line } of found) lines.splice(start, end - start, line)
  if (added === '') return lines.join(newline)
  if (lines.at(-1) === '') lines.pop()
  // A line that wants to be continued would swallow what comes behind it.
  if (/(^|[^\\])(\\\\)*\\$/.test(lines.at(-1) ?? '')) lines.push('')
  return lines.map(line => line + newline).join('') + added
}

/** Body of GET_BROKER_CONFIG and GET_NAMESRV_CONFIG: `key=value` lines without any escape, as the original writes them. */
export function configText(entries: Iterable<readonly [string, string]>): string {
  let text = ''
  for (const [key, value] of entries) text += `${key}=${value}\n`
  return text
}
