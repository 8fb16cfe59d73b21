const NAME_DIGITS = 20
const NAME = /^\d{20}$/

/** Files are named by their first byte in 20 digits, as RocketMQ's. */
export function fileName(firstByte: number): string {
  return String(firstByte).padStart(NAME_DIGITS, '0')
}

/** null: not a name of that form. */
export function fileNumber(name: string): number | null {
  return NAME.test(name) ? Number(name) : null
}

export function joinPath(directory: string, name: string): string {
  return `${directory}/${name}`
}
