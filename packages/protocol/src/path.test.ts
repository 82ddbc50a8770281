/** Path verdicts: what agents send of them, and their words. */
import { describe, expect, test } from 'vitest'
import { parsePathReport, pathAdvice } from './path.ts'

describe('given the words of a verdict', () => {
  test('with what was measured > it stands in the sentence, and a remedy beside it', () => {
    const cut = pathAdvice({ verdict: 'cut-idle', idleMs: 30_040 })
    expect(cut.sentence).toContain('about 30 s')
    expect(cut.remedy).toMatch(/idle time-out/)
    expect(pathAdvice({ verdict: 'one-behind', lagMs: 14_960 }).sentence).toContain('15 s late')
  })

  test('that nothing is wrong > need no remedy', () => {
    expect(pathAdvice({ verdict: 'ok' })).toEqual({ sentence: 'Streams come through on time.' })
  })
})

describe('given a report from the wire (R-17)', () => {
  test('that is whole > it is read', () => {
    const report = { verdict: 'body-buffered', lagMs: 14_000, idleMs: 5, more: true }
    expect(parsePathReport(report)).toEqual({ verdict: 'body-buffered', lagMs: 14_000, idleMs: 5 })
  })

  test.each([undefined, null, 'ok', [], {}, { verdict: 'toString' }, { verdict: 'of-another-time' }])(
    'that is %j > it is left out',
    (value) => {
      expect(parsePathReport(value)).toBeUndefined()
    },
  )

  test('with figures that are none > they are left out', () => {
    expect(parsePathReport({ verdict: 'ok', lagMs: -1, idleMs: '5' })).toEqual({ verdict: 'ok' })
  })
})
