import fs from 'node:fs'
import os from 'node:os'
import type { Host } from './host.ts'

/** Linux: a fresh uuid at each boot. */
const BOOT_ID_FILE = '/proc/sys/kernel/random/boot_id'

/** Linux: what the process may have; Node.js has raised its soft limits to the hard ones. */
const LIMITS_FILE = '/proc/self/limits'
/** Where it cannot be told. */
const OPEN_FILES = 2_048

/** Tests of power loss set this, so that a restarted process takes its machine for rebooted. */
const BOOT_ID_VARIABLE = 'LEDGERMQ_BOOT_ID'

export const realHost: Host = {
  async bootId(): Promise<string> {
    const override = process.env[BOOT_ID_VARIABLE]
    if (override !== undefined && override !== '') return override
    // Elsewhere than on Linux there is no such file: '' says "not known", never "the same boot".
    return fs.promises.readFile(BOOT_ID_FILE, 'utf8').then(
      text => text.trim(),
      () => ''
    )
  },

  memoryBytes(): number {
    const limit = process.constrainedMemory()
    const total = os.totalmem()
    // Without a limit it is 0, or a number beyond all memory.
    return limit !== undefined && limit > 0 && limit < total ? limit : total
  },

  openFilesMax(): number {
    try {
      const soft = /^Max open files +(\d+|unlimited)/m.exec(
        fs.readFileSync(LIMITS_FILE, 'utf8')
      )?.[1]
      return soft === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(soft ?? OPEN_FILES)
    } catch {
      return OPEN_FILES
    }
  }
}
