import { describe, expect, test } from 'vitest'
import { brokenLinks, unknownRules, untestedRules } from './check-docs.ts'

describe('given a document', () => {
  test('a link to a file that is not there > is found, others are not', () => {
    const text =
      '# A title, here\n[a](gone.md) [b](there.md#part) [c](https://example.com/x) [d](#a-title-here) [e](#nowhere)'
    expect(brokenLinks(text, (target) => target === 'there.md')).toEqual(['gone.md', '#nowhere'])
  })

  test('a rule that the protocol does not define > is found', () => {
    expect(unknownRules('see R-10 and R-99', '**R-10 Preamble.** A stream')).toEqual(['R-99'])
  })

  test('a rule that no test cites > is found, whatever the document cites itself', () => {
    const protocol =
      '**R-10 Preamble.** A stream (R-11)\n\n**R-11** Heartbeats\n\n**R-12 Bounds.** As in R-10'
    const tests = ["describe('given a preamble (R-10)'", '// R-12: and the rest']
    expect(untestedRules(tests, protocol)).toEqual(['R-11'])
  })
})
