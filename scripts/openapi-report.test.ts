/** The committed OpenAPI document against the routes that it is made of. */
import { describeOperatorApi } from '@downlink/hub/internal'
import { expect, test } from 'vitest'
import { openapiFaults, openapiText } from './openapi-report.ts'

const api = describeOperatorApi()

test('given the document of the hub as it is committed > finds nothing, and it is valid OpenAPI 3.1', async () => {
  expect(await openapiFaults(api, openapiText(api))).toEqual([])
})

test('given a document that was committed before a route changed > says that it is stale', async () => {
  const { paths, ...rest } = api.document
  const before = openapiText({ document: { ...rest, paths: {} } })
  expect(paths, 'the document has routes').not.toEqual({})
  for (const stale of [before, '']) {
    expect(await openapiFaults(api, stale)).toEqual(['etc/openapi.json is not what the hub serves now.'])
  }
})

test('given a route that lacks something > says so', async () => {
  const faults = ['GET /odd says nothing of itself; add it with operation().']
  expect(await openapiFaults({ ...api, faults }, openapiText(api))).toEqual(faults)
})

test('given a document that is no OpenAPI > says where', async () => {
  const document = { ...api.document, info: {} }
  expect(await openapiFaults({ document, faults: [] }, openapiText({ document }))).toEqual([
    expect.stringMatching(/no OpenAPI 3\.1: .*title/),
  ])
})
