import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const exec = promisify(execFile)
/** Files named in one call of a program. */
const FILES_AT_ONCE = 200

/**
 * Writes a directory's files to the disk and has the kernel forget what it keeps of them in memory (`posix_fadvise`, by way of
 * `dd iflag=nocache` of the GNU tools): without root, and without harm to the files of others. Resolves to how many bytes are kept
 * nevertheless, or to null where `fincore` (util-linux) is not there to tell.
 */
export async function forgetFiles(directory: string): Promise<number | null> {
  await exec('sync', ['-f', directory])
  const files = await filesBelow(directory)
  for (const file of files) {
    // A file that was deleted meanwhile is forgotten too.
    await exec('dd', [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none']).catch(ignoreMissing)
  }
  return keptBytes(files)
}

async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  return entries.filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name))
}

async function keptBytes(files: readonly string[]): Promise<number | null> {
  let bytes = 0
  for (let from = 0; from < files.length; from += FILES_AT_ONCE) {
    const some = files.slice(from, from + FILES_AT_ONCE)
    try {
      const { stdout } = await exec('fincore', ['--bytes', '--noheadings', '--output=RES', ...some])
      for (const line of stdout.trim().split('\n')) bytes += Number(line)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      ignoreMissing(error)
    }
  }
  return bytes
}

function ignoreMissing(error: unknown): void {
  const { stderr = '' } = error as { stderr?: string }
  if (!/No such file/.test(stderr)) throw error
}
