/** JSON that nobody vouches for: own members only, bounded depth, and one text for equal values. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  arrayField,
  canonicalJson,
  field,
  integerField,
  isJsonObject,
  parseJson,
  stringField,
  type Json,
  type JsonObject,
} from './json.ts'

/** The same value with the members of every object in another order. */
function shuffled(value: Json): Json {
  if (Array.isArray(value)) return value.map((item) => shuffled(item as Json))
  if (!isJsonObject(value)) return value
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([name, item]) => [name, shuffled(item)]),
  )
}
const json = fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)) as Json)

describe('given canonical JSON', () => {
  test('equal values in any order of members > the same text, which reads back as the value', () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(canonicalJson(shuffled(value))).toBe(canonicalJson(value))
        expect(JSON.parse(canonicalJson(value))).toEqual(value)
      }),
    )
  })

  test('different values > different texts', () => {
    fc.assert(
      fc.property(json, json, (a, b) => {
        const equal = JSON.stringify(shuffled(a)) === JSON.stringify(shuffled(b))
        if (equal) expect(canonicalJson(a)).toBe(canonicalJson(b))
        if (canonicalJson(a) === canonicalJson(b)) expect(a).toEqual(b)
      }),
    )
  })

  test.each<[Json, string]>([
    [{ b: 1, a: [true, null, 'x'] }, '{"a":[true,null,"x"],"b":1}'],
    [{ '\u{1f600}': 1, '\uff5e': 2, a: 3 }, '{"a":3,"\u{1f600}":1,"\uff5e":2}'],
    [JSON.parse('{"__proto__":{"z":1,"a":2}}') as Json, '{"__proto__":{"a":2,"z":1}}'],
    ['\u2028"\\', '"\u2028\\"\\\\"'],
  ])('%j > is %s', (value, text) => {
    expect(canonicalJson(value)).toBe(text)
  })
})

describe('given text', () => {
  test.each([
    ['[[1]]', 2, true],
    ['[[1]]', 1, false],
    ['"[[[["', 0, true],
    ['"\\"[[["', 0, true],
    ['{"a":{"b":[]}}', 3, true],
    ['{"a":{"b":[]}}', 2, false],
    ['5', 0, true],
  ])('%s within depth %i > %s', (text, depthMax, accepted) => {
    expect(parseJson(text, depthMax) !== undefined).toBe(accepted)
  })

  test.each(['', '{', ']]]]', '[1,]', 'undefined', '"', '\\', '{"a":1}x', '"\\'])(
    '%s > is no JSON',
    (text) => {
      expect(parseJson(text, 8)).toBeUndefined()
    },
  )

  test('a million brackets > are refused without recursion', () => {
    expect(parseJson('['.repeat(1_000_000), 64)).toBeUndefined()
    expect(parseJson(`${']'.repeat(1_000_000)}${'['.repeat(1_000_000)}`, 64)).toBeUndefined()
  })

  test('any JSON > reads as JSON.parse does', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(parseJson(text, 64)).toEqual(JSON.parse(text))
      }),
    )
  })
})

describe('given members', () => {
  const object = JSON.parse('{"__proto__":{"evil":1},"s":"text","n":5,"a":[1,2,3]}') as JsonObject

  test('what is inherited > is not there', () => {
    for (const name of ['constructor', 'toString', 'hasOwnProperty', 'evil']) {
      expect(field(object, name)).toBeUndefined()
    }
    expect(field(object, '__proto__'), 'an own member of that name is').toEqual({ evil: 1 })
  })

  test('strings > are of 1 to the most characters', () => {
    expect(stringField(object, 's', 4)).toBe('text')
    expect(stringField(object, 's', 3)).toBeUndefined()
    expect(stringField({ s: '' }, 's', 3)).toBeUndefined()
    expect(stringField(object, 'n', 9)).toBeUndefined()
  })

  test.each<Json>([4.5, 11, -1, '5', null, true, 1e300, 2 ** 53])(
    '%j > is no integer from 0 to 10',
    (value) => {
      expect(integerField({ n: value }, 'n', 0, 10)).toBeUndefined()
      expect(integerField({ n: 5 }, 'n', 0, 10)).toBe(5)
    },
  )

  test('arrays > are cut, and anything else is empty', () => {
    expect(arrayField(object, 'a', 2)).toEqual([1, 2])
    expect(arrayField(object, 's', 2)).toEqual([])
    expect(arrayField({ a: { length: 5 } }, 'a', 2)).toEqual([])
  })

  test.each<[unknown, boolean]>([
    [{}, true],
    [[], false],
    [null, false],
    ['x', false],
    [undefined, false],
  ])('%j is an object > %s', (value, expected) => {
    expect(isJsonObject(value)).toBe(expected)
  })
})
