/** The two ways to find bytes and make text of them: they must agree, or a browser would read another stream than Node. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { byteWorkOf, indexOfByte, lastIndexOfByte, textOf, type BufferMethods } from './bytes.ts'

const byTheLanguage = byteWorkOf(undefined)
const parts = fc.constantFrom(
  [0xef, 0xbb, 0xbf],
  [0x61],
  [0x0a],
  [0xc3, 0xa9],
  [0xe6, 0xbc, 0xa2],
  [0xe6, 0xbc],
  [0xf0, 0x9f, 0x99, 0x82],
  [0xf0, 0x9f],
  [0xed, 0xa0, 0x80],
  [0xc0, 0xaf],
  [0xff],
)
const anyBytes = fc.oneof(
  fc.uint8Array({ maxLength: 100, size: 'max' }),
  fc.array(parts, { maxLength: 40, size: 'max' }).map((each) => Uint8Array.from(each.flat())),
)

test('given any bytes > Node and the language find and read the same', () => {
  fc.assert(
    fc.property(anyBytes, fc.nat(50), fc.nat(50), fc.constantFrom(0x0a, 0x61, 0xff), (bytes, a, b, byte) => {
      const [from, to] = [Math.min(a, b, bytes.length), Math.min(Math.max(a, b), bytes.length)]
      const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes.subarray(from, to))
      expect(textOf(bytes, from, to), 'Node must read UTF-8 as the standard does').toBe(text)
      expect(byTheLanguage.textOf(bytes, from, to)).toBe(text)
      expect(indexOfByte(bytes, byte, from)).toBe(byTheLanguage.indexOfByte(bytes, byte, from))
      expect(lastIndexOfByte(bytes, byte, from)).toBe(byTheLanguage.lastIndexOfByte(bytes, byte, from))
    }),
    { numRuns: 500 },
  )
})

describe('given a Buffer', () => {
  const real = Buffer.prototype as BufferMethods
  const broken: [string, BufferMethods | undefined][] = [
    ['that is not there', undefined],
    ['without utf8Slice', { indexOf: real.indexOf, lastIndexOf: real.lastIndexOf }],
    ['that reads UTF-8 inexactly', { ...methodsOf(real), utf8Slice: () => '' }],
    ['that finds nothing', { ...methodsOf(real), indexOf: () => -1 }],
    [
      'that throws',
      {
        ...methodsOf(real),
        lastIndexOf: () => {
          throw new TypeError('not a Buffer')
        },
      },
    ],
  ]
  test.each(broken)('%s > the language does the work', (_what, methods) => {
    expect(byteWorkOf(methods), 'only an exact Buffer may be used').toBe(byTheLanguage)
  })

  test('of Node > it does the work', () => {
    expect(byteWorkOf(real), 'Node must not fall back: it costs half the speed').not.toBe(byTheLanguage)
  })
})

function methodsOf({ utf8Slice, indexOf, lastIndexOf }: BufferMethods): BufferMethods {
  if (utf8Slice === undefined)
    throw new Error('This Node has no utf8Slice. Let bytes.ts use what replaced it.')
  return { utf8Slice, indexOf, lastIndexOf }
}
