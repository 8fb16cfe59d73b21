/** A broken invariant of our own: the node must end, its state cannot be trusted. Never for what a peer sent. */
export function panic(text: string): never {
  throw new Error(`raft core: ${text}`)
}
