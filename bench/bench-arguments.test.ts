import { describe, expect, test } from 'vitest'
import { parseBenchArguments } from './bench-arguments.ts'

const KNOWN = ['codec', 'hub', 'hold']

describe('given the arguments of the bench', () => {
  test('when there are none > all suites run, with rounds enough to quote', () => {
    expect(parseBenchArguments([], KNOWN)).toEqual({
      suites: KNOWN,
      name: undefined,
      effort: { rounds: 5, quick: false },
    })
  })

  test('when suites are named > only these run, and name the record', () => {
    const { suites, name, effort } = parseBenchArguments(
      ['--suite', 'hub,hold', '--rounds', '7', '--agents', '500', '--minutes', '2'],
      KNOWN,
    )
    expect({ suites, name }).toEqual({ suites: ['hub', 'hold'], name: 'hub-hold' })
    expect(effort).toEqual({ rounds: 7, quick: false, agents: 500, minutes: 2 })
  })

  test('when it is quick > one round is enough', () => {
    expect(parseBenchArguments(['--quick'], KNOWN).effort).toEqual({ rounds: 1, quick: true })
  })

  test.each([
    [['--suite', 'hubs'], /no suite "hubs"/],
    [['--rounds', '4'], /from 5 to/],
    [['--rounds', 'many'], /whole number/],
    [['--agents', '0'], /from 1 to/],
    [['--minutes', '1.5'], /whole number/],
    [['--round', '5'], /round/],
  ])('when they are %j > they are refused, with what is allowed', (args, message) => {
    expect(() => parseBenchArguments(args, KNOWN)).toThrow(message)
  })
})
