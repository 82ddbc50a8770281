/** The document of the agent API, `vectors/agent-api`, against the routes and the table of errors. */
import { readFileSync } from 'node:fs'
import { ERROR_CODES, type ErrorCode } from '@downlink/protocol'
import { Validator } from '@seriousme/openapi-schema-validator'
import { expect, test } from 'vitest'
import { ENDPOINTS } from '../../test/endpoints.ts'

interface Reply {
  readonly $ref?: string
  readonly headers?: object
  readonly content: { readonly 'application/json': { readonly schema: { readonly allOf: readonly Part[] } } }
}
interface Part {
  readonly properties?: { readonly error: { readonly enum: readonly ErrorCode[] } }
}
interface Document {
  readonly paths: Readonly<
    Record<string, Readonly<Record<string, { readonly responses: Record<string, Reply> }>>>
  >
  readonly components: { readonly responses: Readonly<Record<string, Reply>> }
}

const document = JSON.parse(
  readFileSync(new URL('../../../../vectors/agent-api/openapi.json', import.meta.url), 'utf8'),
) as Document

test('given the document > it is valid OpenAPI 3.1', async () => {
  const { valid, errors } = await new Validator().validate({ ...document })
  expect(valid, JSON.stringify(errors)).toBe(true)
})

test('given every endpoint of the agents > the document has it, and no other', () => {
  const described = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
  )
  const served = ENDPOINTS.filter(({ path }) => path.startsWith('/api/internal/agent/'))
  expect(described.toSorted()).toEqual(served.map(({ method, path }) => `${method} ${path}`).toSorted())
})

test('given every refusal in it > its codes have that status (R-70), and 429 and 503 say when to come again (R-71)', () => {
  for (const item of Object.values(document.paths)) {
    for (const [status, { $ref }] of Object.values(item).flatMap(({ responses }) =>
      Object.entries(responses),
    )) {
      const refusal = document.components.responses[$ref?.split('/').at(-1) ?? '']
      if (refusal === undefined) continue
      const codes = refusal.content['application/json'].schema.allOf.at(-1)?.properties?.error.enum ?? []
      expect(
        codes.map((code) => ERROR_CODES[code].status),
        $ref,
      ).toEqual(codes.map(() => Number(status)))
      expect('headers' in refusal, $ref).toBe(status === '429' || status === '503')
    }
  }
})
