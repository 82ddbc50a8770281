/** Tests of durations as people type and read them. */
import { expect, test } from 'vitest'
import { agoText, durationText, parseDurationMs } from './duration.ts'

test.each([
  ['500ms', 500],
  ['10s', 10_000],
  ['1.5h', 5_400_000],
  ['5m', 300_000],
  ['7d', 604_800_000],
])('given %s > it is so many ms', (text, ms) => {
  expect(parseDurationMs(text)).toBe(ms)
})

test.each(['', '10', '0s', '-1s', '1e3s', '10 s', 'local', '1s2m', '999999999d', '0.0001ms'])(
  'given %j > it is no duration',
  (text) => {
    expect(parseDurationMs(text)).toBeUndefined()
  },
)

test.each([
  [0, '0 ms'],
  [84.4, '84 ms'],
  [3_200, '3.2 s'],
  [10_000, '10 s'],
  [59_990, '1 min'],
  [7_200_000, '2 h'],
  [604_800_000, '7 d'],
])('given %d ms > it reads %s', (ms, text) => {
  expect(durationText(ms)).toBe(text)
})

test('given a time > it reads as how long ago, and a clock that is behind shows nothing negative', () => {
  const wallMs = Date.parse('2026-01-01T00:01:00Z')
  expect(agoText('2026-01-01T00:00:00Z', wallMs)).toBe('1 min ago')
  expect(agoText('2026-01-01T00:02:00Z', wallMs)).toBe('just now')
  expect(agoText(undefined, wallMs)).toBe('-')
  expect(agoText('yesterday', wallMs)).toBe('-')
})
