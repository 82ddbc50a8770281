/** The document of the operator API, and the page that is made of it. */
import { isJsonObject, type Json, type JsonObject } from '@downlink/protocol'
import { expect, test } from 'vitest'
import { ENDPOINTS } from '../../test/endpoints.ts'
import { describeOperatorApi } from './describe-operator-api.ts'
import { openapiPage } from './openapi/openapi-page.ts'

const { document, faults } = describeOperatorApi()
const paths = document.paths as Readonly<Record<string, JsonObject>>

/** The texts that stand under `name`, however deep. */
function textsOf(name: string, value: Json): readonly string[] {
  if (Array.isArray(value)) return (value as readonly Json[]).flatMap((each) => textsOf(name, each))
  if (!isJsonObject(value)) return []
  return Object.entries(value).flatMap(([key, member]) =>
    key === name && typeof member === 'string' ? [member] : textsOf(name, member),
  )
}

test('given the routes of the hub > each of them says all that its document needs', () => {
  expect(faults).toEqual([])
})

test('given every endpoint of the operator API > the document has it, with its scope', () => {
  for (const { method, path, by } of ENDPOINTS.filter(({ by }) => by !== 'agents')) {
    if (path.includes('/authkey/')) continue
    const [found] = Object.entries(paths).filter(([template]) =>
      new RegExp(`^${template.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path),
    )
    const operation = found?.[1][method.toLowerCase()]
    expect(operation, `${method} ${path}: add the route with operation()`).toMatchObject({
      security: by === 'nobody' ? [] : [{ operatorToken: [by] }],
    })
  }
})

test('given the references of the document > each leads somewhere', () => {
  for (const reference of textsOf('$ref', document)) {
    const names = reference.split('/').slice(1)
    const found = names.reduce<Json | undefined>(
      (value, name) => (isJsonObject(value ?? null) ? (value as JsonObject)[name] : undefined),
      document,
    )
    expect(found, reference).toBeDefined()
  }
})

test('given the page > it has every operation and every schema, and loads nothing', () => {
  const page = openapiPage(document)
  for (const id of textsOf('operationId', document)) expect(page).toContain(`<article id="${id}">`)
  const { schemas } = document.components as { schemas: JsonObject }
  for (const name of Object.keys(schemas)) expect(page).toContain(`<section id="schema-${name}">`)
  expect(page).not.toMatch(/<script|<link|<img|src=|href="(?!#)/)
  for (const [, anchor] of page.matchAll(/href="#([^"]+)"/g)) expect(page).toContain(`id="${anchor ?? ''}"`)
})
