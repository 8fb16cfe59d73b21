import type { EntrySummary, NodeId } from '../../../src/raft/core/index.ts'

/** An entry as the tests keep it: its CRC is drawn fresh by every leader, so that two of one (index, term) show. */
export interface TestEntry extends EntrySummary {
  readonly prevCrc: number
}

/** The all-seeing book of a test: what has happened anywhere, and what may therefore not happen any more. */
export class Book {
  /** Uids by term: an old and a new disk under one id are two leaders. */
  readonly #leaders = new Map<number, string>()
  readonly #votes = new Map<string, NodeId>()
  readonly #entries = new Map<string, TestEntry>()
  /** Every entry that any node ever called committed, by index. */
  readonly committed: TestEntry[] = []
  /** The term of the leader that committed it. */
  readonly #committedIn: number[] = []
  #crc = 1000

  nextCrc(): number {
    return ++this.#crc
  }

  fail(text: string): never {
    throw new Error(`invariant broken: ${text}`)
  }

  /** Election safety, and leader completeness: of what was committed in earlier terms; who slept may be elected late. */
  leads(id: NodeId, uid: string, term: number, log: readonly TestEntry[]): void {
    const known = this.#leaders.get(term)
    if (known !== undefined && known !== uid)
      this.fail(`election safety: ${known} and ${uid} lead term ${term}`)
    this.#leaders.set(term, uid)
    this.committed.forEach((entry, at) => {
      if ((this.#committedIn[at] as number) >= term) return
      if (log[at]?.headerCrc !== entry.headerCrc)
        this.fail(
          `leader completeness: ${id} leads term ${term} without committed entry ${entry.index} of term ${entry.term}`
        )
    })
  }

  /** Vote once, by identity of the disk, also across restarts. */
  voted(uid: string, term: number, vote: NodeId | null): void {
    if (vote === null) return
    const key = `${uid} ${term}`
    const known = this.#votes.get(key)
    if (known !== undefined && known !== vote)
      this.fail(`vote once: ${uid} votes for ${known} and ${vote} in term ${term}`)
    this.#votes.set(key, vote)
  }

  /** Log matching: same (index, term) is the same entry with the same one before it. */
  stored(entry: TestEntry): void {
    const key = `${entry.index} ${entry.term}`
    const known = this.#entries.get(key)
    if (known === undefined) this.#entries.set(key, entry)
    else if (
      known.headerCrc !== entry.headerCrc ||
      known.prevCrc !== entry.prevCrc ||
      known.positionBytes !== entry.positionBytes
    )
      this.fail(`log matching: two entries ${entry.index} of term ${entry.term}`)
  }

  /** State machine safety. */
  commits(id: NodeId, term: number, from: number, to: number, log: readonly TestEntry[]): void {
    for (let index = from; index <= to; index++) {
      const entry = log[index - 1]
      if (entry === undefined) this.fail(`${id} commits ${index} and does not have it`)
      const known = this.committed[index - 1]
      if (known === undefined) {
        this.committed[index - 1] = entry
        this.#committedIn[index - 1] = term
      } else if (known.headerCrc !== entry.headerCrc)
        this.fail(
          `state machine safety: ${id} commits term ${entry.term} at ${index}, term ${known.term} was committed`
        )
    }
  }
}
