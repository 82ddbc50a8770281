/** Takes the schemas that have a title out of where they stand: each is told once, and referred to by its name. Pure. */
import { canonicalJson, isJsonObject, type Json, type JsonObject } from '@downlink/protocol'

/** The components of a document that is being made. */
export interface Components {
  /** The schema as it stands in the document. @throws TypeError if another one has its title. */
  place(schema: Json): Json
  /** All that were placed, by title, in order. */
  schemas(): JsonObject
}

/** Members whose values are no schemas. */
const DATA: ReadonlySet<string> = new Set(['examples', 'enum', 'const', 'default', 'required'])

/** Components, of which there are none yet. */
export function componentsOf(): Components {
  const byTitle = new Map<string, Json>()

  function place(value: Json): Json {
    if (Array.isArray(value)) return (value as readonly Json[]).map(place)
    if (!isJsonObject(value)) return value
    const placed = Object.fromEntries(
      Object.entries(value).map(([name, member]) => [
        name,
        DATA.has(name) ? member : name === 'properties' ? placeAll(member) : place(member),
      ]),
    )
    const { title, ...schema } = placed
    return typeof title === 'string' ? refer(title, schema) : placed
  }

  /** Members may have any name, also that of a keyword. */
  function placeAll(members: Json): Json {
    return Object.fromEntries(
      Object.entries(members as JsonObject).map(([name, member]) => [name, place(member)]),
    )
  }

  function refer(title: string, schema: JsonObject): JsonObject {
    const known = byTitle.get(title)
    if (known !== undefined && canonicalJson(known) !== canonicalJson(schema)) {
      throw new TypeError(`Two schemas have the title ${title}. Give one of them another.`)
    }
    byTitle.set(title, schema)
    return { $ref: `#/components/schemas/${title}` }
  }

  return {
    // A schema may carry members that JSON does not show.
    place: (schema) => place(JSON.parse(JSON.stringify(schema)) as Json),
    schemas: () => Object.fromEntries([...byTitle].toSorted(([a], [b]) => (a < b ? -1 : 1))),
  }
}
