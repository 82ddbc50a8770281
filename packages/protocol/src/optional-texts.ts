/** Reads members of a message that may be missing, and are texts if they are there. */
import { field, type JsonObject } from './json.ts'
import * as limits from './limits.ts'

/** Those of the texts that are there, neither empty nor longer than an id. */
export function optionalTexts<K extends string>(
  object: JsonObject,
  names: readonly K[],
): { [name in K]?: string } {
  return optional(object, names, (value) => (value.length <= limits.ID_CHARS_MAX ? value : undefined))
}

/** Those of the sentences that are there and not empty, cut to `MESSAGE_CHARS_MAX`. */
export function optionalSentences<K extends string>(
  object: JsonObject,
  names: readonly K[],
): { [name in K]?: string } {
  return optional(object, names, (value) => value.slice(0, limits.MESSAGE_CHARS_MAX))
}

function optional<K extends string>(
  object: JsonObject,
  names: readonly K[],
  read: (value: string) => string | undefined,
): { [name in K]?: string } {
  const result: { [name in K]?: string } = {}
  for (const name of names) {
    const value = field(object, name)
    const text = typeof value === 'string' && value.length > 0 ? read(value) : undefined
    if (text !== undefined) result[name] = text
  }
  return result
}
