/** JSON as a type, and the few total functions that read untrusted JSON without trusting its shape. */

/** Any JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject
/** A JSON object; read its members with {@link field}, which is blind to the prototype. */
export interface JsonObject {
  readonly [key: string]: Json
}

/** Whether `value` is a JSON object, neither null nor an array. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** An own member of `object`, or undefined; never something inherited, so `__proto__` and `constructor` are plain names. */
export function field(object: JsonObject, name: string): Json | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined
}

/** The member as a string of 1 to `charsMax` characters, or undefined if it is anything else. */
export function stringField(object: JsonObject, name: string, charsMax: number): string | undefined {
  const value = field(object, name)
  return typeof value === 'string' && value.length > 0 && value.length <= charsMax ? value : undefined
}

/** The member as an integer from `min` to `max`, or undefined if it is anything else. */
export function integerField(object: JsonObject, name: string, min: number, max: number): number | undefined {
  const value = field(object, name)
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max
    ? value
    : undefined
}

/** The member as an array of at most `countMax` elements; longer ones are cut, anything else is empty. */
export function arrayField(object: JsonObject, name: string, countMax: number): readonly Json[] {
  const value = field(object, name)
  return Array.isArray(value) ? (value as readonly Json[]).slice(0, countMax) : []
}

/** `text` as JSON nested no deeper than `depthMax`, or undefined. Depth is counted on the text, before anything recurses. */
export function parseJson(text: string, depthMax: number): Json | undefined {
  if (!isShallow(text, depthMax)) return undefined
  try {
    return JSON.parse(text) as Json
  } catch {
    return undefined
  }
}

function isShallow(text: string, depthMax: number): boolean {
  let depth = 0
  let inString = false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (inString) {
      if (code === 0x5c) i++
      else if (code === 0x22) inString = false
    } else if (code === 0x22) inString = true
    else if (code === 0x5b || code === 0x7b) {
      if (++depth > depthMax) return false
    } else if (code === 0x5d || code === 0x7d) depth--
  }
  return true
}

/** The same JSON text for equal values: members in code-unit order of their names. For hashes and signatures (RFC 8785 without its number rules). */
export function canonicalJson(value: Json): string {
  if (Array.isArray(value)) return `[${value.map((element) => canonicalJson(element as Json)).join(',')}]`
  if (isJsonObject(value)) {
    const members = Object.keys(value)
      .sort()
      .map((name) => `${JSON.stringify(name)}:${canonicalJson(value[name] ?? null)}`)
    return `{${members.join(',')}}`
  }
  return JSON.stringify(value)
}
