import { LanguageCode } from './languageCodes.ts'
import { Version } from './versions.ts'

/** How a header is written; stands in the top byte of the header length word (remoting.md 1.1). */
export const SerializeType = { JSON: 0, ROCKETMQ: 1 } as const
export type SerializeType = (typeof SerializeType)[keyof typeof SerializeType]

/** Bits of `flag` (remoting.md 1.4). */
export const CommandFlag = { response: 1, oneway: 2 } as const

/**
 * What this implementation says of itself in every frame. The version is that of the protocol it speaks: clients below look at it
 * before they use features (remoting.md 1.5). OTHER, because 4.9 does not know NODE_JS.
 */
export const OWN_VERSION = Version.V5_3_3
export const OWN_LANGUAGE = LanguageCode.OTHER

/** A frame's content, decoded. */
export interface RemotingCommand {
  /** Request or response code. */
  code: number
  /** LanguageCode of the sender. */
  language: number
  /** Version ordinal of the sender. */
  version: number
  /** Correlation id, int32; a response copies the request's. */
  opaque: number
  /** CommandFlag bits. */
  flag: number
  /** Error text of a response, store status of a pull answer; else mostly null. */
  remark: string | null
  /** Custom header: all values are text. */
  extFields: Record<string, string> | null
  /** null when the frame had no body. */
  body: Buffer | null
  serializeType: number
}

/** A request with opaque 0: whoever sends it numbers it. */
export function request(
  code: number,
  extFields: Record<string, string> | null = null,
  body: Buffer | null = null
): RemotingCommand {
  return {
    code,
    language: OWN_LANGUAGE,
    version: OWN_VERSION,
    opaque: 0,
    flag: 0,
    remark: null,
    extFields,
    body,
    serializeType: SerializeType.JSON
  }
}

/** A response; opaque and serialize type are those of the request and are set by whoever sends it. */
export function response(
  code: number,
  remark: string | null = null,
  extFields: Record<string, string> | null = null,
  body: Buffer | null = null
): RemotingCommand {
  return {
    code,
    language: OWN_LANGUAGE,
    version: OWN_VERSION,
    opaque: 0,
    flag: CommandFlag.response,
    remark,
    extFields,
    body,
    serializeType: SerializeType.JSON
  }
}

export function isOneway(command: { flag: number }): boolean {
  return (command.flag & CommandFlag.oneway) !== 0
}
