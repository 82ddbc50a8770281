/** What a route of the operator API must say of itself, on routes that do not. */
import { fastify, type RouteShorthandOptions } from 'fastify'
import Type, { type TSchema } from 'typebox'
import { expect, test } from 'vitest'
import { operation } from '../operation.ts'
import { noQuery } from '../request-schemas.ts'
import { collectOperations } from './collect-operations.ts'
import { operationFaults } from './operation-faults.ts'

const needs = (): (() => Promise<void>) => async () => {}
const about = { operationId: 'getOdd', tag: 'Hub', summary: 'Read what is odd' } as const
const anything: TSchema = Type.Object({})
const closed = Type.Object({ limit: Type.Optional(Type.String()) }, { additionalProperties: false })
const open = Type.Object({ limit: Type.Optional(Type.String()) })

function faultsOf(
  url: string,
  options: RouteShorthandOptions,
  method: 'GET' | 'POST' = 'GET',
): readonly string[] {
  const app = fastify({ exposeHeadRoutes: false })
  return operationFaults(
    collectOperations(app, () => app.route({ ...options, method, url, handler: async () => ({}) })),
  )
}

const said = (
  schema: Readonly<Record<string, TSchema>>,
  response: Readonly<Record<number, TSchema>> = { 200: anything },
): RouteShorthandOptions => operation({ needs }, about, { ...schema, response })

test('given a route that says all > finds nothing', () => {
  expect(faultsOf('/odd', said({ querystring: noQuery }))).toEqual([])
  expect(faultsOf('/odd', said({ querystring: closed, body: anything }), 'POST')).toEqual([])
})

test.for<readonly [what: string, url: string, options: RouteShorthandOptions, fault: RegExp]>([
  ['nothing', '/odd', {}, /^GET \/odd says nothing of itself/],
  ['schemas without operation()', '/odd', { schema: { response: { 200: anything } } }, /says nothing/],
  ['no query', '/odd', said({}), /no schema for its query/],
  ['a query of any names', '/odd', said({ querystring: open }), /any name/],
  ['no parameter of its path', '/odd/:id', said({ querystring: noQuery }), /parameters id in its path/],
  ['no reply', '/odd', said({ querystring: noQuery }, {}), /no schema for its reply/],
  ['an empty reply', '/odd', said({ querystring: noQuery }, { 200: {} }), /empty schema for its reply 200/],
])('given a route that says %s > finds it', ([, url, options, fault]) => {
  expect(faultsOf(url, options)).toEqual([expect.stringMatching(fault)])
})

test('given a POST without a body > finds it', () => {
  expect(faultsOf('/odd', said({ querystring: noQuery }), 'POST')).toEqual([
    expect.stringMatching(/no schema for its body/),
  ])
})

test('given two routes of one operationId > finds both', () => {
  const app = fastify({ exposeHeadRoutes: false })
  const routes = collectOperations(app, () => {
    for (const url of ['/odd', '/even']) app.get(url, said({ querystring: noQuery }), async () => ({}))
  })
  expect(operationFaults(routes)).toHaveLength(2)
})
