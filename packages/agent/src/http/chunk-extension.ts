/** What may stand behind the size of a chunk and means nothing to an agent: `;name`, `;name=value` and `;name="value"`, any number of them. */

/** What comes next in an extension. */
export type ExtensionState =
  | 'name begins'
  | 'name'
  | 'value begins'
  | 'value'
  | 'quoted'
  | 'escaped'
  | 'quoted over'

/** Those in which the line may end. */
const COMPLETE: ReadonlySet<ExtensionState> = new Set(['name', 'value', 'quoted over'])
const isToken = tableOf(/[!#$%&'*+\-.^_`|~0-9A-Za-z]/)
const isText = tableOf(/[\t -~\x80-\xff]/)
const SEMICOLON = 0x3b
const EQUALS = 0x3d
const QUOTE = 0x22
const BACKSLASH = 0x5c

/** Whether the line may end behind `state`. */
export function isComplete(state: ExtensionState): boolean {
  return COMPLETE.has(state)
}

/** What follows `byte`, which does not end the line; undefined if it cannot stand there. */
export function nextInExtension(state: ExtensionState, byte: number): ExtensionState | undefined {
  if (byte === SEMICOLON && COMPLETE.has(state)) return 'name begins'
  switch (state) {
    case 'name begins':
    case 'name':
      if (state === 'name' && byte === EQUALS) return 'value begins'
      return isToken[byte] ? 'name' : undefined
    case 'value begins':
    case 'value':
      if (state === 'value begins' && byte === QUOTE) return 'quoted'
      return isToken[byte] ? 'value' : undefined
    case 'quoted':
      if (byte === QUOTE) return 'quoted over'
      if (byte === BACKSLASH) return 'escaped'
      return isText[byte] ? 'quoted' : undefined
    case 'escaped':
      return isText[byte] ? 'quoted' : undefined
    case 'quoted over':
      return undefined
  }
}

/** By byte, as an extension may be megabytes of them. */
function tableOf(characters: RegExp): readonly boolean[] {
  return Array.from({ length: 256 }, (_, byte) => characters.test(String.fromCharCode(byte)))
}
