/** Texts that are nearly the JSON that somebody expects: samples with members, values and bytes of the worst kind. */
import type { Json } from '@downlink/protocol'
import type { Chance } from './chance.ts'

/** Values as text, as `JSON.stringify` would not write some of them. */
const ODD_VALUES = [
  'null',
  'true',
  'false',
  '0',
  '-0',
  '-1',
  '1.5',
  '1e400',
  '-1e400',
  '1e-400',
  '9007199254740993',
  '1125899906842625',
  '123456789012345678901234567890',
  '""',
  '"\\ud800"',
  '"\\udc00\\ud800"',
  '"\\u0000"',
  '"\\r\\n"',
  '"\\u2028"',
  '"__proto__"',
  '"constructor"',
  '"../../etc/passwd"',
  '"cancel"',
  '"a~b"',
  '[]',
  '{}',
  '[[]]',
  '{"__proto__":{"polluted":true}}',
  '{"constructor":{"prototype":{"polluted":true}}}',
  '{"toString":1,"valueOf":null,"hasOwnProperty":0,"length":-1,"then":{}}',
  '{"a":1,"a":2}',
] as const
const ODD_NAMES = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'then',
  'length',
  '',
  '\u0000',
  'taskId',
  'args',
  'controlId',
] as const

/** A text made from one of `samples`: most often JSON, and most often nearly right. */
export function jsonText(chance: Chance, samples: readonly [Json, ...Json[]]): string {
  if (chance.oneIn(40)) return huge(chance, samples)
  const text = write(chance, chance.pick(samples), 0)
  return chance.oneIn(6) ? damaged(chance, text) : text
}

/** Bytes made from such a text, now and then of no text at all. */
export function jsonBytes(chance: Chance, samples: readonly [Json, ...Json[]]): Uint8Array {
  if (chance.oneIn(50)) return chance.bytes(chance.size(400))
  const bytes = Buffer.from(jsonText(chance, samples))
  if (chance.oneIn(12) && bytes.length > 0) bytes[chance.below(bytes.length)] = chance.below(256)
  return bytes
}

function write(chance: Chance, value: Json, depth: number): string {
  if (chance.oneIn(14 + 6 * depth)) return oddValue(chance)
  if (Array.isArray(value)) {
    const items = (value as readonly Json[]).flatMap((item) => {
      if (chance.oneIn(20)) return []
      const text = write(chance, item, depth + 1)
      return chance.oneIn(12) ? [text, text] : [text]
    })
    return `[${items.join(',')}]`
  }
  if (typeof value === 'object' && value !== null)
    return writeObject(chance, value as { [key: string]: Json }, depth)
  return chance.oneIn(12) ? oddLike(chance, value) : JSON.stringify(value)
}

function writeObject(chance: Chance, value: { readonly [key: string]: Json }, depth: number): string {
  const members = Object.entries(value).flatMap(([name, member]) => {
    if (chance.oneIn(16)) return []
    const text = `${JSON.stringify(name)}:${write(chance, member, depth + 1)}`
    // The last of two members of one name is the one that counts.
    return chance.oneIn(24) ? [text, `${JSON.stringify(name)}:${oddValue(chance)}`] : [text]
  })
  if (chance.oneIn(8)) members.push(`${JSON.stringify(chance.pick(ODD_NAMES))}:${oddValue(chance)}`)
  if (chance.oneIn(8)) members.reverse()
  return `{${members.join(',')}}`
}

/** A value of the same type, at or beyond what is taken. */
function oddLike(chance: Chance, value: Json): string {
  if (typeof value === 'number') return String(value + chance.pick([-1, 1, 0.5, 2 ** 31, 2 ** 53, -value]))
  if (typeof value !== 'string') return oddValue(chance)
  const part = chance.pick(['x', 'é', '🙂', '\\ud83d', '\\u0000', '\\n', ' ', '~', '/', '.'])
  return `"${part.repeat(chance.pick([1, 2, 64, 65, 128, 129, 257, 1_025, 5_000]))}"`
}

function oddValue(chance: Chance): string {
  if (chance.oneIn(12)) {
    const depth = chance.pick([3, 62, 63, 64, 65, 500, 20_000])
    return chance.oneIn(2)
      ? `${'['.repeat(depth)}${']'.repeat(depth)}`
      : `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`
  }
  return chance.pick(ODD_VALUES)
}

/** 100,000 elements, or as many members. */
function huge(chance: Chance, samples: readonly [Json, ...Json[]]): string {
  const sample = chance.pick(samples)
  const names = typeof sample === 'object' && sample !== null ? Object.keys(sample) : []
  const name = JSON.stringify(names[chance.below(names.length || 1)] ?? 'a')
  const item = chance.pick(['1', '{}', '""', '"a~1"', '{"taskId":"t"}', 'null', '[]'])
  if (chance.oneIn(3)) {
    const members = Array.from({ length: 50_000 }, (_, index) => `"m${index % 7_000}":${item}`)
    return `{${name}:{${members.join(',')}}}`
  }
  return `{${name}:[${Array.from({ length: 100_000 }, () => item).join(',')}]}`
}

function damaged(chance: Chance, text: string): string {
  const at = chance.below(text.length + 1)
  switch (chance.below(4)) {
    case 0:
      return text.slice(0, at)
    case 1:
      return (
        text.slice(0, at) +
        chance.pick(['{', '}', '[', ']', '"', ',', ':', '\\', '\ufeff', '\0', ' ', '//']) +
        text.slice(at)
      )
    case 2:
      return text + text
    default:
      return text.slice(0, at) + text.slice(at + 1 + chance.size(20))
  }
}
