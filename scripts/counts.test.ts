/** Tests of how the numbers of tests are read and summed. */

import { describe, expect, it } from 'vitest'

import { countsOfOutput, countsOfVitestReport, formatCounts, sumCounts } from './counts.ts'

describe("given a command's output", () => {
  it('ends with its numbers > they are read', () => {
    expect(countsOfOutput('seed 1\n2000 passed, 0 failed\n', true)).toEqual({
      passed: 2000,
      failed: 0,
      skipped: 0,
    })
  })

  it('has numbers in several places > the last line counts', () => {
    const output = '1 passed, 0 failed\n7 passed, 2 failed, 3 skipped\n'
    expect(countsOfOutput(output, false)).toEqual({ passed: 7, failed: 2, skipped: 3 })
  })

  it('has no numbers > counts one failure, even if the command says that it is well', () => {
    expect(countsOfOutput('done', true)).toEqual({ passed: 0, failed: 1, skipped: 0 })
  })

  it('tells of no failure, but the command failed > counts one failure', () => {
    expect(countsOfOutput('5 passed, 0 failed\n', false)).toEqual({ passed: 5, failed: 1, skipped: 0 })
  })
})

describe("given Vitest's report", () => {
  const report = (...testResults: readonly [status: string, ...tests: string[]][]): string =>
    JSON.stringify({
      testResults: testResults.map(([status, ...tests]) => ({
        status,
        assertionResults: tests.map((each) => ({ status: each })),
      })),
    })

  it('has tests of every kind > each is counted once', () => {
    const text = report(['passed', 'passed', 'pending', 'todo'], ['failed', 'failed', 'passed'])
    expect(countsOfVitestReport(text, false)).toEqual({ passed: 2, failed: 1, skipped: 2 })
  })

  it('has a file that did not load > counts one failure for it', () => {
    expect(countsOfVitestReport(report(['failed'], ['passed', 'passed']), false)).toMatchObject({ failed: 1 })
  })

  it('has no failure, but the run failed > counts one failure', () => {
    expect(countsOfVitestReport(report(['passed', 'passed']), false)).toMatchObject({ passed: 1, failed: 1 })
  })
})

it('given several counts > they are summed and written as one line', () => {
  const sum = sumCounts([
    { passed: 1, failed: 2, skipped: 3 },
    { passed: 10, failed: 20, skipped: 30 },
  ])
  expect(formatCounts(sum)).toBe('11 passed, 22 failed, 33 skipped')
})
