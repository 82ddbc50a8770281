/** Finds bytes and makes text of them: by what Node has, which is several times faster, or by what every runtime has. */

/** What the decoder needs of its runtime. */
export interface ByteWork {
  /** The text of `bytes[from, to)`: ill-formed UTF-8 becomes U+FFFD as the Encoding standard says, and a BOM stays. */
  readonly textOf: (bytes: Uint8Array, from: number, to: number) => string
  /** Index of the first `byte` from `from`, or -1. */
  readonly indexOfByte: (bytes: Uint8Array, byte: number, from: number) => number
  /** Index of the last `byte` up to `from`, or -1. */
  readonly lastIndexOfByte: (bytes: Uint8Array, byte: number, from: number) => number
}

/** Methods of Node's Buffer, which work on any Uint8Array. */
export interface BufferMethods {
  readonly utf8Slice?: (this: Uint8Array, from: number, to: number) => string
  readonly indexOf: (this: Uint8Array, byte: number, from: number) => number
  readonly lastIndexOf: (this: Uint8Array, byte: number, from: number) => number
}

// Each text is decoded on its own, so a BOM at its start is not the stream's.
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

const byTheLanguage: ByteWork = {
  textOf: (bytes, from, to) => utf8.decode(bytes.subarray(from, to)),
  indexOfByte: (bytes, byte, from) => bytes.indexOf(byte, from),
  lastIndexOfByte: (bytes, byte, from) => bytes.lastIndexOf(byte, from),
}

/** A BOM, bad and cut sequences, a surrogate and a character of each length. */
// prettier-ignore
const SAMPLE: Uint8Array = Uint8Array.of(
  0xef, 0xbb, 0xbf, 0xff, 0xc0, 0x80, 0xe6, 0xbc, 0x61, 0xf0, 0x9f, 0x99, 0xed, 0xa0, 0x80,
  0xc3, 0xa9, 0xe6, 0xbc, 0xa2, 0xf0, 0x9f, 0x99, 0x82, 0xf4, 0x90, 0x80, 0x80, 0xe6, 0xbc,
)

/** The work of `methods`, unless there are none or, as in a bundler's imitation, they are not exact. */
export function byteWorkOf(methods: BufferMethods | undefined): ByteWork {
  const utf8Slice = methods?.utf8Slice
  if (methods === undefined || utf8Slice === undefined) return byTheLanguage
  const { indexOf, lastIndexOf } = methods
  const work: ByteWork = {
    textOf: (bytes, from, to) => utf8Slice.call(bytes, from, to),
    indexOfByte: (bytes, byte, from) => indexOf.call(bytes, byte, from),
    lastIndexOfByte: (bytes, byte, from) => lastIndexOf.call(bytes, byte, from),
  }
  return isExact(work) ? work : byTheLanguage
}

function isExact({ textOf, indexOfByte, lastIndexOfByte }: ByteWork): boolean {
  try {
    return (
      textOf(SAMPLE, 0, SAMPLE.length) === utf8.decode(SAMPLE) &&
      indexOfByte(SAMPLE, 0xe6, 7) === 17 &&
      lastIndexOfByte(SAMPLE, 0xe6, 16) === 6
    )
  } catch {
    return false
  }
}

const runtime: { readonly Buffer?: { readonly prototype: unknown } } = globalThis
const work = byteWorkOf(runtime.Buffer?.prototype as BufferMethods | undefined)

export const textOf: ByteWork['textOf'] = work.textOf
export const indexOfByte: ByteWork['indexOfByte'] = work.indexOfByte
export const lastIndexOfByte: ByteWork['lastIndexOfByte'] = work.lastIndexOfByte
