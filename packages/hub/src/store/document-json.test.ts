import fc from 'fast-check'
import { expect, it, test } from 'vitest'
import { documentJson, type JsonParts } from './document-json.ts'

it('given any JSON object > its JSON is what JSON.stringify writes, with and without the parts of before', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (document) => {
      const first = documentJson(document, undefined)
      expect(first.json).toBe(JSON.stringify(document))
      expect(documentJson({ ...document }, first.parts).json).toBe(first.json)
    }),
  )
})

test.each([
  ['a member that is undefined', { a: undefined, b: [undefined, () => 1] }],
  ['something that writes itself', { a: new Date(0), b: [new Date(1), { toJSON: () => 7 }] }],
  ['an object without members of its own', [Object.create({ a: 1 })]],
])('given %s > as JSON.stringify has it', (_what, document) => {
  expect(documentJson(document, undefined).json).toBe(JSON.stringify(document))
})

it('given nothing that is JSON > it says so', () => {
  expect(() => documentJson(undefined, undefined)).toThrow(/must be JSON/)
})

it('given elements that were there before > only the others are written', () => {
  let written = 0
  const element = (id: number): object => ({
    get id() {
      written++
      return id
    },
  })
  const [a, b, c] = [element(1), element(2), element(3)]
  let parts: JsonParts | undefined
  for (const open of [[a, b], [b, c], [c]]) {
    const made = documentJson({ open }, parts)
    parts = made.parts
  }
  expect(written, 'each was written when it came').toBe(3)
  expect(parts?.size, 'and is forgotten when it goes').toBe(1)
})
