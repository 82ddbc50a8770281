/** What reaches an application's logger: no secret, no flood, no exception back. */
import { describe, expect, test } from 'vitest'
import { createTestClock } from '../../testkit/src/test-clock.ts'
import { BoundedLogger, type Logger } from './bounded-logger.ts'
import { DownlinkError } from './errors.ts'
import { formatToken } from './ids.ts'
import * as limits from './limits.ts'

const TOKEN = formatToken({ kind: 'agent', owner: 'a1', keyId: 'keykeykey', secret: 'secretsecret' })

function bench() {
  const lines: { level: string; fields: object; message: string }[] = []
  const take = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, fields, message })
  const target: Logger = {
    debug: take('debug'),
    info: take('info'),
    warn: take('warn'),
    error: take('error'),
  }
  const clock = createTestClock()
  return { lines, clock, logger: new BoundedLogger(target, clock) }
}

describe('given an application with a logger', () => {
  test('a token in fields, nested, in a sentence or in an error > none comes through', () => {
    const { lines, logger } = bench()
    logger.hide('an-original-key')
    const cause = new Error(`sent Authorization: Bearer ${TOKEN}`)
    const error = new DownlinkError('odd', `The key ${TOKEN} is odd`, { cause })
    logger.log('warn', { error, apiKey: 'x', nested: [{ text: `it was ${TOKEN}` }] }, `about ${TOKEN}`)
    logger.log('warn', { text: 'an-original-key', password: 'p', taskId: 't1' }, 'an-original-key')
    const shown = JSON.stringify(lines)
    expect(shown, 'a token was logged; see redact').not.toContain('secretsecret')
    expect(shown).not.toContain('an-original-key')
    expect(lines[1]?.fields).toEqual({ text: '[credential]', password: '[credential]', taskId: 't1' })
    expect(lines[0]?.fields).toMatchObject({
      error: { code: 'odd', name: 'DownlinkError' },
      apiKey: '[credential]',
    })
  })

  test('a token in the query of a URL > does not come through, and a URL without one stays as it is', () => {
    const { lines, logger } = bench()
    const plain = new URL('https://hub.example.com/a?b=c')
    logger.log('info', { url: new URL(`https://hub.example.com/?token=${TOKEN}`), plain }, 'asked')
    expect(lines[0]?.fields).toEqual({ url: 'https://hub.example.com/?token=[credential]', plain })
  })

  test('an error without a secret > is handed on as it is', () => {
    const { lines, logger } = bench()
    const error = new DownlinkError('odd', 'It is odd.')
    logger.log('error', { error, key: 'not-a-secret-by-name-alone'.length }, 'odd')
    const [line] = lines as unknown as { fields: { error: unknown } }[]
    expect(line?.fields.error, 'loggers print errors their own way').toBe(error)
  })

  test('the same line again and again > some, and then how many were left out', () => {
    const { lines, clock, logger } = bench()
    for (let count = 0; count < 1_000; count++) logger.log('warn', { count }, 'a sync failed')
    expect(lines.length).toBe(limits.LOG_REPEATS_MAX)
    logger.log('warn', {}, 'another line')
    expect(lines.length, 'lines are counted by their sentence').toBe(limits.LOG_REPEATS_MAX + 1)
    clock.advance(limits.LOG_WINDOW_MS)
    logger.log('warn', { count: 1_000 }, 'a sync failed')
    expect(lines.at(-1)?.fields).toEqual({ count: 1_000, repeated: 1_000 - limits.LOG_REPEATS_MAX })
  })

  test('a record that was asked for each time > comes each time, and without secrets', () => {
    const { lines, logger } = bench()
    const times = 2 * limits.LOG_REPEATS_MAX
    for (let count = 0; count < times; count++) logger.logEach('info', { text: TOKEN }, 'a request')
    expect(lines.length).toBe(times)
    expect(JSON.stringify(lines)).not.toContain('secretsecret')
  })

  test('more kinds of lines than are remembered > memory stays bounded, and lines are not lost', () => {
    const { lines, logger } = bench()
    const count = limits.LOG_LINES_KNOWN_MAX * 3
    for (let n = 0; n < count; n++) logger.log('info', {}, `line ${n}`)
    expect(lines.length).toBe(count)
  })

  test('a logger that throws > harms nobody', () => {
    const fail = (): never => {
      throw new Error('The disk of the logs is full.')
    }
    const logger = new BoundedLogger({ debug: fail, info: fail, warn: fail, error: fail }, createTestClock())
    expect(() => logger.log('error', {}, 'x'), 'it would end the daemon').not.toThrow()
  })

  test('fields that refer to themselves > end', () => {
    const { lines, logger } = bench()
    const fields: { self?: unknown } = {}
    fields.self = fields
    logger.log('info', fields, 'round')
    expect(lines.length).toBe(1)
  })
})
