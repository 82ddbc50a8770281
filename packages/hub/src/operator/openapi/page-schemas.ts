/** Schemas of the OpenAPI document as HTML: a type in a line, an object as rows. Pure. */
import { isJsonObject, type Json, type JsonObject } from '@downlink/protocol'
import { escapeHtml, proseHtml, textOf } from './page-text.ts'

/** The type in a line; named ones link to where they are told. */
export function typeHtml(schema: JsonObject): string {
  const { $ref, type, items, anyOf, allOf, const: only, enum: values, format } = schema
  if (typeof $ref === 'string') {
    const name = escapeHtml($ref.slice($ref.lastIndexOf('/') + 1))
    return `<a href="#schema-${name}">${name}</a>`
  }
  if (only !== undefined) return `<code>${escapeHtml(JSON.stringify(only))}</code>`
  if (Array.isArray(values)) {
    return (values as readonly Json[]).map((value) => `<code>${escapeHtml(textOf(value))}</code>`).join(' | ')
  }
  const [alternatives, joint] = Array.isArray(anyOf)
    ? [anyOf, ' or ']
    : Array.isArray(allOf)
      ? [allOf, ' with ']
      : [[], '']
  if (alternatives.length > 0) {
    return (alternatives as readonly JsonObject[]).map(typeHtml).join(joint)
  }
  if (type === 'array')
    return `list of ${isJsonObject(items ?? null) ? typeHtml(items as JsonObject) : 'anything'}`
  if (type === undefined) return 'any JSON'
  return escapeHtml(`${textOf(type)}${typeof format === 'string' ? `, ${format}` : ''}`)
}

/** A row for each member of an object. */
export function memberRows(schema: JsonObject): readonly string[] {
  const { properties, required = [] } = schema
  if (!isJsonObject(properties ?? null)) return []
  return Object.entries(properties as JsonObject).map(([name, member]) => {
    const isRequired = (required as readonly Json[]).includes(name)
    const { description } = member as JsonObject
    return `<tr><td><code>${escapeHtml(name)}</code>${isRequired ? '' : '<br><small>optional</small>'}</td><td>${typeHtml(member as JsonObject)}</td><td>${proseHtml(textOf(description))}</td></tr>`
  })
}
