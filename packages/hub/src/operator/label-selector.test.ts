/** Which labels a selector means. */
import { limits } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { parseLabelSelector } from './label-selector.ts'

const agent = { region: 'eu', tier: 'prod', zone: '' }

describe('given an agent in region eu, tier prod, with an empty zone', () => {
  test.each([
    ['', true],
    ['region=eu', true],
    ['region==eu', true],
    ['region=us', false],
    ['region!=us', true],
    ['region!=eu', false],
    ['owner!=anna', true],
    ['region', true],
    ['owner', false],
    ['!owner', true],
    ['!region', false],
    ['zone=', true],
    ['region=eu,tier=prod', true],
    ['region=eu, tier=test', false],
    ['constructor', false],
    ['__proto__=x', false],
  ])('when %j selects > %s', (text, expected) => {
    expect(parseLabelSelector(text)(agent)).toBe(expected)
  })

  test.each(['=', ',', 'a=b=c', '!a=b', 'a,,b', '!', 'a!b', 'a===b', 'a!==b'])(
    'when %j is sent > it is refused',
    (text) => {
      expect(() => parseLabelSelector(text)).toThrow(/must be terms like region=eu/)
    },
  )

  test('when there are too many terms > it is refused with the limit', () => {
    const terms = Array.from({ length: limits.SELECTOR_TERMS_MAX + 1 }, (_, n) => `l${n}`).join(',')
    expect(() => parseLabelSelector(terms)).toThrow(`${limits.SELECTOR_TERMS_MAX} fit`)
  })
})
