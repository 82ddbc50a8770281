import { expect, test } from 'vitest'
import { createTestClock } from '../../testkit/src/test-clock.ts'
import { createJsonLogger } from './json-logger.ts'
import { createLineLogger } from './line-logger.ts'
import { createOutput } from './output.ts'

function bench(): { output: ReturnType<typeof createOutput>; text: () => string } {
  let text = ''
  const target = { write: (part: string) => void (text += part), isTerminal: false }
  return { output: createOutput({ stdout: target, stderr: target, color: false }), text: () => text }
}

test('given fields, an error with a cause and hostile text > one line of JSON each, which a program can read', () => {
  const { output, text } = bench()
  const clock = createTestClock()
  const logger = createJsonLogger(output, clock, 'hub', 'info')
  const cause = Object.assign(new Error('disk \u001b[2J\nfull'), { code: 'ENOSPC' })
  logger.warn({ error: new Error('it failed', { cause }), path: 'a\u2028b' }, 'A request failed')
  logger.debug({}, 'too much')
  logger.info({ count: 1 }, 'More')
  const lines = text().trimEnd().split('\n')
  expect(lines).toHaveLength(2)
  // oxlint-disable-next-line no-control-regex -- it is what must not be there
  expect(text(), 'nothing may move a cursor').not.toMatch(/[\u0000-\u0009\u000b-\u001f\u2028]/)
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({
    time: new Date(clock.wallMs()).toISOString(),
    level: 'warn',
    name: 'hub',
    message: 'A request failed',
    error: {
      name: 'Error',
      message: 'it failed',
      cause: { code: 'ENOSPC', message: 'disk \u001b[2J\nfull' },
    },
    path: 'a\u2028b',
  })
  expect(JSON.parse(lines[1] ?? '')).toMatchObject({ level: 'info', message: 'More', count: 1 })
})

test('given the same as text > the sentence with the reason, on one line', () => {
  const { output, text } = bench()
  const logger = createLineLogger(output, 'hub', 'info')
  logger.warn({ error: new Error('no\u001b[2J space') }, 'A request failed')
  logger.info({ api: 'agents', route: 'sync', status: 200, by: 'a1', cause: new Error('x') }, 'Answered')
  logger.debug({}, 'too much')
  expect(text()).toBe(
    'hub: A request failed: no\\x1b[2J space\nhub: Answered (api=agents route=sync status=200 by=a1)\n',
  )
})
