/** Makes text that somebody else wrote safe to show on a terminal, in a log or on a page. */

// Cc is C0, DEL and C1. The bidi controls can make a line read as something else than it is, and the two
// separators end a line where a reader of the log does not expect it.
const UNPRINTABLE = /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu

const SHORT: Readonly<Record<string, string>> = { '\t': '\\t', '\n': '\\n', '\r': '\\r' }

/**
 * Returns `text` as one line in which nothing moves a cursor, changes a color or reorders characters.
 * Control characters, tab and line ends included, become `\t`, `\x1b` or `\u202e`. Everything else stays as it is,
 * a backslash too, so the result is for reading and cannot be turned back.
 */
export function escapeControlCharacters(text: string): string {
  return text.replace(UNPRINTABLE, (character) => SHORT[character] ?? hexEscape(character.charCodeAt(0)))
}

function hexEscape(code: number): string {
  return code < 0x100
    ? `\\x${code.toString(16).padStart(2, '0')}`
    : `\\u${code.toString(16).padStart(4, '0')}`
}
