/** Tests of what the command writes: nothing remote moves a cursor, columns stand straight, JSON stays JSON. */
import { expect, test } from 'vitest'
import { createOutput, printableJson, tableLines, wantsColor, type Output } from './output.ts'

const EVIL = 'a\u001b[2Jb\r\nc\u009bd\u202ee'
const UNPRINTABLE = /[\p{Cc}\p{Bidi_Control}]/u

function captured(color = false): { output: Output; text: () => string; errors: () => string } {
  const out: string[] = []
  const err: string[] = []
  const target = (into: string[]) => ({ write: (text: string) => void into.push(text), isTerminal: false })
  const output = createOutput({ stdout: target(out), stderr: target(err), color })
  return { output, text: () => out.join(''), errors: () => err.join('') }
}

test('given remote text with control characters > every way of writing it is one clean line', () => {
  const { output, text, errors } = captured()
  output.line(EVIL)
  output.table(['A', 'B'], [[EVIL, { text: EVIL, tone: 'bad' }]])
  output.json({ text: EVIL })
  output.problem(EVIL)
  for (const line of `${text()}${errors()}`.split('\n')) {
    expect(line, 'escape remote text before it is written').not.toMatch(UNPRINTABLE)
  }
  expect(text().split('\n')).toHaveLength(5)
})

test('given a value with control characters > its JSON is printable and reads back the same', () => {
  const json = printableJson({ text: `${EVIL}\u007f\u2028` })
  expect(json).not.toMatch(/[\p{Cc}\p{Bidi_Control}\u2028]/u)
  expect(JSON.parse(json)).toEqual({ text: `${EVIL}\u007f\u2028` })
})

test('given rows of different widths > the columns are aligned and no line ends in spaces', () => {
  expect(
    tableLines(
      ['TASK', 'STATE', 'MESSAGE'],
      [
        ['archive-1', { text: 'running', tone: 'good' }, ''],
        ['b', 'paused', 'x'],
      ],
      { color: false },
    ),
  ).toEqual(['TASK       STATE    MESSAGE', 'archive-1  running', 'b          paused   x'])
})

test('given color > only the toned text is colored and the columns stay aligned', () => {
  const [, row] = tableLines(['A', 'B'], [[{ text: 'x', tone: 'bad' }, 'y']], { color: true })
  expect(row).toBe('\u001b[31mx\u001b[39m  y')
})

test('given a narrow terminal > only the last column is cut', () => {
  const [, row] = tableLines(['A', 'B'], [['name', 'z'.repeat(100)]], { color: false, columns: 40 })
  expect(row).toBe(`name  ${'z'.repeat(33)}…`)
})

test.each([
  [true, {}, true],
  [false, {}, false],
  [true, { NO_COLOR: '1' }, false],
  [true, { NO_COLOR: '' }, true],
  [true, { TERM: 'dumb' }, false],
])('given terminal %s and environment %j > color is %s', (isTerminal, env, color) => {
  expect(wantsColor(isTerminal, env)).toBe(color)
})
