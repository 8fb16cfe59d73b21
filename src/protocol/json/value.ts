/** What `parseLenientJson` gives: plain objects have no prototype, numbers are numbers. */
export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject | ObjectKeyed
export interface JsonObject {
  [key: string]: JsonValue
}

/** A map whose keys are objects, such as `{{"brokerName":…}:3}`. */
export class ObjectKeyed {
  readonly entries: [key: JsonValue, value: JsonValue][] = []
}
