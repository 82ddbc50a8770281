import { describe, expect, it } from 'vitest'
import { escapeControlCharacters } from './printable.ts'

describe('given text that somebody else wrote', () => {
  it.each([
    ['an escape sequence', '\u001b[2Jgone', '\\x1b[2Jgone'],
    ['a tab and line ends', 'a\tb\r\nc', 'a\\tb\\r\\nc'],
    ['NUL and DEL', '\u0000\u007f', '\\x00\\x7f'],
    ['a C1 control', '\u009b31m', '\\x9b31m'],
    ['a bidi override', 'user\u202etxt.exe', 'user\\u202etxt.exe'],
    ['bidi isolates and marks', '\u2066\u2069\u200e\u200f\u061c', '\\u2066\\u2069\\u200e\\u200f\\u061c'],
    ['line separators', 'a\u2028b\u2029c', 'a\\u2028b\\u2029c'],
  ])('%s > is escaped', (_what, text, shown) => {
    expect(escapeControlCharacters(text), 'escape it, or a terminal obeys it').toBe(shown)
  })

  it('every code of C0, DEL, C1 and the bidi overrides > is escaped', () => {
    const ranges = [
      [0x00, 0x1f],
      [0x7f, 0x9f],
      [0x202a, 0x202e],
      [0x2066, 0x2069],
    ] as const
    for (const [first, last] of ranges)
      for (let code = first; code <= last; code++) {
        const shown = escapeControlCharacters(String.fromCharCode(code))
        expect(shown, `escape U+${code.toString(16)}`).toMatch(/^\\(?:[tnr]|x[0-9a-f]{2}|u[0-9a-f]{4})$/)
      }
  })

  it('letters, accents, emoji with joiners and backslashes > stay as they are', () => {
    const text = 'naïve C:\\temp 日本語 👩‍💻 – “quoted” ü'
    expect(escapeControlCharacters(text), 'escape controls only').toBe(text)
  })
})
