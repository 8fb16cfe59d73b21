/**
 * A header that is filled from a frame's bytes without building a command: one pass, no allocation. The object is reused; what it says is
 * valid until the next scan into it, and while the frame's bytes stand.
 */
export abstract class HotHeader {
  code = 0
  language = 0
  version = 0
  opaque = 0
  /** CommandFlag bits of the frame. */
  commandFlag = 0
  serializeType = 0

  /** Sets all custom fields to their defaults. */
  abstract reset(): void
  /** One custom field: its key, and its value, unescaped and maybe in another buffer. False: the value does not parse, take the general way. */
  abstract setField(
    keySource: Buffer,
    keyAt: number,
    keyBytes: number,
    bytes: Buffer,
    at: number,
    length: number
  ): boolean
  /** False: a required field is missing. */
  abstract complete(): boolean

  get oneway(): boolean {
    return (this.commandFlag & 2) !== 0
  }
}
