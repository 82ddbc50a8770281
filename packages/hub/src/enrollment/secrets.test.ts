import { expect, test } from 'vitest'
import { isSecret, mintToken } from './secrets.ts'

/** As SECURITY.md gives it to secret scanners. */
const PATTERN = /^(?:dla\.(?:[0-9a-f]{2}){1,128}|dl[eo])\.[A-Za-z0-9_-]{12}\.[A-Za-z0-9_-]{43}$/

test('given minted tokens > the pattern for secret scanners knows them all', () => {
  for (const token of [
    mintToken('agent', 'a1').token,
    mintToken('agent', 'x'.repeat(128)).token,
    mintToken('enrollment', '').token,
    mintToken('operator', '').token,
  ]) {
    expect(token, 'keep SECURITY.md and the tokens alike').toMatch(PATTERN)
  }
})

test('given a secret (R-60) > only its own hash fits, and none at all fits nothing', () => {
  const minted = mintToken('agent', 'a1')
  const secret = minted.token.split('.').at(-1) ?? ''
  expect(isSecret(secret, minted.hash)).toBe(true)
  expect(isSecret(secret, mintToken('agent', 'a1').hash)).toBe(false)
  expect(isSecret(secret, undefined)).toBe(false)
  expect(isSecret('', undefined), 'what an unknown key is compared with is the hash of nothing').toBe(false)
})
