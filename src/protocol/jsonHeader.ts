import type { RemotingCommand } from './command.ts'
import { ProtocolError } from './errors.ts'
import { parseLenientJson } from './json/lenientJson.ts'
import { languageCode, languageName } from './languageCodes.ts'

type HeaderFields = Omit<RemotingCommand, 'body' | 'serializeType'>

/** Reads a JSON header (remoting.md 1.3): any key order, unknown keys ignored, missing keys have the original's defaults. */
export function readJsonHeader(header: Buffer): HeaderFields {
  const text = header.toString('utf8')
  const fields = parseHeader(text)
  return {
    code: int(fields['code']),
    language: language(fields['language']),
    version: int(fields['version']),
    opaque: int(fields['opaque']),
    flag: int(fields['flag']),
    remark:
      fields['remark'] === undefined || fields['remark'] === null ? null : String(fields['remark']),
    extFields: extFields(fields['extFields'])
  }
}

/** Writes a JSON header as fastjson does: keys in alphabetical order, no blanks, nulls left out. */
export function writeJsonHeader(command: RemotingCommand): string {
  let text = `{"code":${command.code}`
  if (command.extFields !== null) text += `,"extFields":${writeExtFields(command.extFields)}`
  text += `,"flag":${command.flag},"language":"${languageName(command.language)}","opaque":${command.opaque}`
  if (command.remark !== null) text += `,"remark":${JSON.stringify(command.remark)}`
  return `${text},"serializeTypeCurrentRPC":"JSON","version":${command.version}}`
}

function writeExtFields(fields: Record<string, string>): string {
  let text = ''
  for (const key of Object.keys(fields)) {
    text += `${text === '' ? '' : ','}${JSON.stringify(key)}:${JSON.stringify(fields[key])}`
  }
  return `{${text}}`
}

function parseHeader(text: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // Some clients write control characters unescaped, which strict JSON forbids and fastjson takes.
    value = parseLenientJson(text, 'LMQ_BAD_FRAME')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new ProtocolError('LMQ_BAD_FRAME', 'the header is not a JSON object')
  return value as Record<string, unknown>
}

function int(value: unknown): number {
  if (value === undefined || value === null) return 0
  const number = typeof value === 'string' ? Number(value) : value
  if (typeof number !== 'number' || !Number.isSafeInteger(number))
    throw new ProtocolError('LMQ_BAD_FRAME', `${JSON.stringify(value)} is not an integer`)
  return number | 0
}

function language(value: unknown): number {
  if (typeof value === 'number') return value
  return typeof value === 'string' ? languageCode(value) : 0
}

function extFields(value: unknown): Record<string, string> | null {
  if (value === undefined || value === null) return null
  if (typeof value !== 'object' || Array.isArray(value))
    throw new ProtocolError('LMQ_BAD_FRAME', 'extFields is not an object')
  const fields: Record<string, string> = {}
  for (const [key, field] of Object.entries(value)) {
    if (field === null || field === undefined) continue
    fields[key] =
      typeof field === 'string'
        ? field
        : typeof field === 'object'
          ? JSON.stringify(field)
          : String(field)
  }
  return fields
}
