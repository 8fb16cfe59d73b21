/** All chance of the program comes from here, so that a seed can decide it. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number
  /** Uniform integer in [0, limit); `limit` from 1 to 2^32. */
  below(limit: number): number
  /** `length` random bytes. */
  bytes(length: number): Buffer
}
