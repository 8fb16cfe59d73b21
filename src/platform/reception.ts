/** Where a connection puts what it receives: memory of whoever receives it. */
export interface Reception {
  /** Room for what comes next, not empty. Asked for anew after each `received`. */
  room(): Buffer
  /** So many bytes stand at the beginning of the last `room`. */
  received(bytes: number): void
}

/** Gives `chunk` to a reception, piece by piece where its rooms are smaller. */
export function fill(reception: Reception, chunk: Uint8Array): void {
  for (let at = 0; at < chunk.length; ) {
    const room = reception.room()
    const bytes = Math.min(room.length, chunk.length - at)
    room.set(chunk.subarray(at, at + bytes))
    at += bytes
    reception.received(bytes)
  }
}
