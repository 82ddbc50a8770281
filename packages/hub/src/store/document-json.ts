/** Makes the JSON of a document from that of its parts, so that a change costs what it changes and not what the document holds. */

/** The JSON of each object in the arrays of a document, for the next change of it. */
export type JsonParts = ReadonlyMap<object, string>

/** A document as JSON. */
export interface DocumentJson {
  /** As `JSON.stringify` writes it. */
  readonly json: string
  readonly parts: JsonParts
}

/**
 * The JSON of a document. Objects in its arrays that `before` has are not written again: documents are values, so the same
 * object has the same JSON.
 * @throws TypeError for what is not JSON.
 */
export function documentJson(document: unknown, before: JsonParts | undefined): DocumentJson {
  const parts = new Map<object, string>()
  if (!isPlain(document)) return { json: jsonOf(document), parts }
  const members: string[] = []
  for (const name of Object.keys(document)) {
    const value = document[name]
    const json = Array.isArray(value) ? arrayJson(value, before, parts) : JSON.stringify(value)
    // Such as one that is undefined.
    if (json !== undefined) members.push(`${JSON.stringify(name)}:${json}`)
  }
  return { json: `{${members.join(',')}}`, parts }
}

/** @throws TypeError for what is not JSON. */
export function jsonOf(value: unknown): string {
  const json = JSON.stringify(value) as string | undefined
  if (json === undefined) throw new TypeError('A document must be JSON; return a plain object.')
  return json
}

function arrayJson(
  array: readonly unknown[],
  before: JsonParts | undefined,
  parts: Map<object, string>,
): string {
  const elements: string[] = []
  for (const element of array) elements.push(elementJson(element, before, parts))
  return `[${elements.join(',')}]`
}

function elementJson(element: unknown, before: JsonParts | undefined, parts: Map<object, string>): string {
  if (!isPlain(element)) return (JSON.stringify(element) as string | undefined) ?? 'null'
  const json = before?.get(element) ?? JSON.stringify(element)
  parts.set(element, json)
  return json
}

/** Whether `JSON.stringify` writes its members, and nothing else. */
function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.getPrototypeOf(value) === Object.prototype &&
    !('toJSON' in value)
  )
}
