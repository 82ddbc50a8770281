/** Tests may import the testkit and any file; a test left alone by `.only` is caught. */
import { createFaultyPath } from '@downlink/testkit'
import { expect, it } from 'vitest'
import { decide } from '../../agent/src/control/ledger.ts'

// expect: vitest/no-focused-tests
it.only('given nothing > is run alone', () => {
  expect(createFaultyPath).not.toBe(decide)
})

it('given a matcher that is not called > asserts nothing', () => {
  // expect: vitest/valid-expect, no-unused-expressions
  expect(decide).toBe
})
