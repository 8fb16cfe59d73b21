import type { Disk } from '../../platform/index.ts'
import { changePropertiesFile } from '../../protocol/index.ts'

/** The file given with `-c` cannot be read or written; the change itself is in effect. */
export class ConfigFileError extends Error {
  readonly code = 'LMQ_CONFIG_FILE'

  constructor(path: string, options: { cause: unknown }) {
    const { code } = options.cause as NodeJS.ErrnoException
    const reason = code ?? String(options.cause)
    super(`Changed until the next start only: ${path} cannot be written (${reason}).`, options)
    this.name = 'ConfigFileError'
  }
}

/**
 * Brings changes of a running broker into its properties file, so that the next start finds them. The original writes all of its
 * settings anew (broker.md 2.2); here only the changed lines are other ones, and what a person wrote around them stays.
 */
export class ConfigFile {
  readonly #path: string
  readonly #disk: Disk
  /** What a failed write left over; the next one takes it along. */
  readonly #pending = new Map<string, string>()
  #turn: Promise<void> = Promise.resolve()

  constructor(path: string, disk: Disk) {
    this.#path = path
    this.#disk = disk
  }

  get path(): string {
    return this.#path
  }

  /** Resolves when the file has these values, all at once and on the disk; rejects with ConfigFileError. One write at a time. */
  save(changes: Iterable<readonly [string, string]>): Promise<void> {
    for (const [key, value] of changes) this.#pending.set(key, value)
    this.#turn = this.#turn.catch(() => {}).then(() => this.#write())
    return this.#turn
  }

  async #write(): Promise<void> {
    if (this.#pending.size === 0) return
    const changes = [...this.#pending]
    try {
      const text = (await this.#disk.readFile(this.#path)).toString('latin1')
      const changed = changePropertiesFile(text, changes)
      if (changed !== text)
        await this.#disk.writeFileAtomic(this.#path, Buffer.from(changed, 'latin1'))
    } catch (error) {
      throw new ConfigFileError(this.#path, { cause: error })
    }
    for (const [key, value] of changes)
      if (this.#pending.get(key) === value) this.#pending.delete(key)
  }
}
