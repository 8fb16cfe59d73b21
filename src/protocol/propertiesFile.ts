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

/** Body of GET_BROKER_CONFIG and GET_NAMESRV_CONFIG: `key=value` lines without any escape, as the original writes them. */
export function configText(entries: Iterable<readonly [string, string]>): string {
  let text = ''
  for (const [key, value] of entries) text += `${key}=${value}\n`
  return text
}
