/** Tests of how the numbers of tests are read and summed. */

import { describe, expect, it } from 'vitest'

import type { Counts } from './counts.ts'
import { countsOfOutput, countsOfVitestReport, formatCounts, NO_TESTS, sumCounts } from './counts.ts'

describe("given a command's output", () => {
  it('ends with its numbers > they are read', () => {
    expect(countsOfOutput('seed 1\n2000 passed, 0 failed\n', true)).toEqual({
      ...NO_TESTS,
      passed: 2000,
      failed: 0,
      skipped: 0,
    })
  })

  it('has numbers in several places > the last line counts', () => {
    const output = '1 passed, 0 failed\n7 passed, 2 failed, 3 skipped\n'
    expect(countsOfOutput(output, false)).toEqual({ ...NO_TESTS, passed: 7, failed: 2, skipped: 3 })
  })

  it('has no numbers > counts one failure, even if the command says that it is well', () => {
    expect(countsOfOutput('done', true)).toEqual({ ...NO_TESTS, failed: 1 })
  })

  it('tells of no failure, but the command failed > counts one failure', () => {
    expect(countsOfOutput('5 passed, 0 failed\n', false)).toEqual({ ...NO_TESTS, passed: 5, failed: 1 })
  })
})

describe("given Vitest's report", () => {
  const report = (...testResults: readonly [status: string, ...tests: string[]][]): string =>
    JSON.stringify({
      testResults: testResults.map(([status, ...tests], index) => ({
        name: `/root/e2e/file-${index}.test.ts`,
        status,
        message: status === 'failed' ? 'SyntaxError: Unexpected token\n  at line 3' : '',
        assertionResults: tests.map((each) => ({
          status: each,
          fullName: `given a hub > is ${each}`,
          failureMessages: each === 'failed' ? ['\nError: no stream\n    at file.ts:3'] : [],
        })),
      })),
    })
  const read = (text: string): Counts => countsOfVitestReport(text, false, '/root')

  it('has tests of every kind > each is counted once, and those that failed are named with what they say first', () => {
    expect(read(report(['passed', 'passed', 'pending', 'todo'], ['failed', 'failed', 'passed']))).toEqual({
      passed: 2,
      failed: 1,
      skipped: 2,
      failures: ['e2e/file-1.test.ts > given a hub > is failed: Error: no stream'],
    })
  })

  it('has a file that did not load > counts one failure for it, and names it', () => {
    expect(read(report(['failed'], ['passed', 'passed']))).toMatchObject({
      failed: 1,
      failures: ['e2e/file-0.test.ts: SyntaxError: Unexpected token'],
    })
  })

  it('has no failure, but the run failed > counts one failure, and says where to look', () => {
    const failures = ['a run of which every test passed: look above at how it ended']
    expect(read(report(['passed', 'passed']))).toMatchObject({ passed: 1, failed: 1, failures })
  })
})

it('given several counts > they are summed, and written as their failures and one line', () => {
  const sum = sumCounts([
    { passed: 1, failed: 2, skipped: 3, failures: ['a'] },
    { passed: 10, failed: 20, skipped: 30, failures: ['b'] },
  ])
  expect(formatCounts(sum)).toBe('FAILED a\nFAILED b\n11 passed, 22 failed, 33 skipped')
})
