/** Room that a blank record needs at the end of a segment: magic and length. */
export const BLANK_BYTES = 8

/**
 * Where an entry of `sizeBytes` goes behind `previousEndBytes`: there, or at the start of the next segment when it does
 * not fit or would leave less than a blank record. A pure function, so that leader and follower agree (log format).
 */
export function entryPosition(
  previousEndBytes: number,
  sizeBytes: number,
  segmentBytes: number
): number {
  const roomBytes = segmentBytes - (previousEndBytes % segmentBytes)
  return roomBytes - sizeBytes >= BLANK_BYTES ? previousEndBytes : previousEndBytes + roomBytes
}
