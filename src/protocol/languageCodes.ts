/** Languages of clients; the number is the byte in a binary header, the name stands in a JSON header (remoting.md 1.4). */
export const LanguageCode = {
  JAVA: 0,
  CPP: 1,
  DOTNET: 2,
  PYTHON: 3,
  DELPHI: 4,
  ERLANG: 5,
  RUBY: 6,
  OTHER: 7,
  HTTP: 8,
  GO: 9,
  PHP: 10,
  OMS: 11,
  RUST: 12,
  NODE_JS: 13
} as const

export type LanguageCode = (typeof LanguageCode)[keyof typeof LanguageCode]

const names = Object.keys(LanguageCode)
const codes = new Map<string, number>(Object.entries(LanguageCode))

/** Name of a language; unknown numbers are OTHER, as clients would not read an unknown name. */
export function languageName(code: number): string {
  return names[code] ?? 'OTHER'
}

/** Number of a language name; unknown names are OTHER. */
export function languageCode(name: string): number {
  return codes.get(name) ?? LanguageCode.OTHER
}
