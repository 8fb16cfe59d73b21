import { dirname } from 'node:path'
import type { Disk } from '../../platform/index.ts'

/**
 * A configuration file below the state directory, made from a sample. The copy may be changed (by `updateBrokerConfig`, by hand) and is
 * kept as long as the sample says what it said when the copy was made; `<file>.sample` beside it remembers that.
 */
export interface ConfigCopy {
  file: string
  /** What a fresh copy holds. */
  sampleText: string
}

/** The text that a start will use: the kept copy's, else the sample's. */
export async function effectiveText(copy: ConfigCopy, disk: Disk): Promise<string> {
  return (await keptText(copy, disk)) ?? copy.sampleText
}

/** Makes the copy unless there is one to keep. */
export async function writeCopy(copy: ConfigCopy, disk: Disk): Promise<void> {
  if ((await keptText(copy, disk)) !== null) return
  await disk.makeDirectory(dirname(copy.file))
  // In this order: what is interrupted in between is done again.
  await disk.writeFileAtomic(copy.file, Buffer.from(copy.sampleText, 'latin1'))
  await disk.writeFileAtomic(sampleFile(copy), Buffer.from(copy.sampleText, 'latin1'))
}

async function keptText(copy: ConfigCopy, disk: Disk): Promise<string | null> {
  const sample = sampleFile(copy)
  if (!(await disk.exists(copy.file)) || !(await disk.exists(sample))) return null
  if ((await disk.readFile(sample)).toString('latin1') !== copy.sampleText) return null
  return (await disk.readFile(copy.file)).toString('latin1')
}

function sampleFile(copy: ConfigCopy): string {
  return `${copy.file}.sample`
}
