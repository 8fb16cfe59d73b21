import { dirname } from 'node:path'
import type { Disk } from '../platform/index.ts'
import { parseLenientJson } from '../protocol/index.ts'

/** Namespace whose entries tell brokers and clients which topics are ordered, and over which queues (broker.md 1.7). */
export const ORDER_TOPIC_CONFIG = 'ORDER_TOPIC_CONFIG'

/** Names and values together, and something for each entry and each namespace. A namespace stays when its last entry is deleted. */
const KV_CHARACTERS_MAX = 16_777_216
const ENTRY_CHARACTERS = 64

/**
 * The only table of a name server that outlives it: namespace → key → value, in `kvConfig.json` as `{"configTable":{…}}`. A change is
 * answered when it is on the disk; changes that come while a write is running share the next one.
 */
export class KvTable {
  readonly #disk: Disk
  readonly #path: string
  readonly #namespaces = new Map<string, Map<string, string>>()
  #characters = 0
  #writing: Promise<void> | null = null
  #nextWrite: Promise<void> | null = null

  private constructor(disk: Disk, path: string) {
    this.#disk = disk
    this.#path = path
  }

  /** A missing file is an empty table; rejects when the file is there and cannot be read, so that it is not overwritten. */
  static async open(disk: Disk, path: string): Promise<KvTable> {
    const table = new KvTable(disk, path)
    if (!(await disk.exists(path))) return table
    const text = (await disk.readFile(path)).toString()
    try {
      if (text.trim() !== '') table.#load(parseLenientJson(text))
    } catch (cause) {
      throw new Error(`${path} does not parse: repair it, or remove it to start without entries`, {
        cause
      })
    }
    return table
  }

  get(namespace: string, key: string): string | null {
    return this.#namespaces.get(namespace)?.get(key) ?? null
  }

  /** null: no such namespace. */
  list(namespace: string): ReadonlyMap<string, string> | null {
    return this.#namespaces.get(namespace) ?? null
  }

  /** Resolves when it is durable. */
  put(namespace: string, key: string, value: string): Promise<void> {
    this.#set(namespace, key, value)
    return this.#save()
  }

  /** Resolves when it is durable; a missing key is no error. */
  delete(namespace: string, key: string): Promise<void> {
    const entries = this.#namespaces.get(namespace)
    const value = entries?.get(key)
    if (entries === undefined || value === undefined) return Promise.resolve()
    entries.delete(key)
    this.#characters -= ENTRY_CHARACTERS + key.length + value.length
    return this.#save()
  }

  /** Resolves when nothing is being written any more. */
  async settled(): Promise<void> {
    while (this.#writing !== null) await this.#writing.catch(() => {})
  }

  #set(namespace: string, key: string, value: string): void {
    let entries = this.#namespaces.get(namespace)
    const old = entries?.get(key)
    const grows =
      (entries === undefined ? ENTRY_CHARACTERS + namespace.length : 0) +
      (old === undefined ? ENTRY_CHARACTERS + key.length : -old.length) +
      value.length
    if (this.#characters + grows > KV_CHARACTERS_MAX) {
      throw new RangeError(`the KV table is full: ${KV_CHARACTERS_MAX} characters`)
    }
    if (entries === undefined) {
      entries = new Map()
      this.#namespaces.set(namespace, entries)
    }
    entries.set(key, value)
    this.#characters += grows
  }

  #load(content: unknown): void {
    const namespaces = (content as { configTable?: Record<string, Record<string, unknown>> })
      .configTable
    for (const [namespace, entries] of Object.entries(namespaces ?? {})) {
      if (!this.#namespaces.has(namespace)) {
        this.#namespaces.set(namespace, new Map())
        this.#characters += ENTRY_CHARACTERS + namespace.length
      }
      for (const [key, value] of Object.entries(entries)) this.#set(namespace, key, String(value))
    }
  }

  #save(): Promise<void> {
    if (this.#nextWrite !== null) return this.#nextWrite
    if (this.#writing === null) return this.#write()
    this.#nextWrite = this.#writing.catch(() => {}).then(() => this.#write())
    return this.#nextWrite
  }

  #write(): Promise<void> {
    this.#nextWrite = null
    const writing = this.#writeFile().finally(() => {
      if (this.#writing === writing) this.#writing = null
    })
    this.#writing = writing
    return writing
  }

  async #writeFile(): Promise<void> {
    // fromEntries makes an entry of every name, `__proto__` too.
    const configTable = Object.fromEntries(
      [...this.#namespaces].map(([namespace, entries]) => [namespace, Object.fromEntries(entries)])
    )
    const text = JSON.stringify({ configTable }, null, '\t')
    await this.#disk.makeDirectory(dirname(this.#path))
    await this.#disk.writeFileAtomic(this.#path, Buffer.from(text))
  }
}
