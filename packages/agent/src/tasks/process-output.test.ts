import { Buffer } from 'node:buffer'
import { PassThrough } from 'node:stream'
import { limits } from '@downlink/protocol'
import type { Clock } from '@downlink/protocol'
import { describe, expect, it } from 'vitest'
import { createLineSplitter, cutLogLine, parseOutputLine, readLines } from './process-output.ts'

function split(bytesMax: number, chunks: readonly Uint8Array[]): string[] {
  const lines: string[] = []
  const splitter = createLineSplitter(bytesMax, (line) => lines.push(line))
  for (const chunk of chunks) splitter.push(chunk)
  splitter.end()
  return lines
}

describe('given output in chunks', () => {
  const text = 'first\r\n\nnaïve 日本語 👩‍💻\nno end'
  const lines = ['first', '', 'naïve 日本語 👩‍💻', 'no end']

  it('at every split > the lines are the same', () => {
    const bytes = Buffer.from(text)
    for (let at = 0; at <= bytes.length; at++)
      expect(
        split(100, [bytes.subarray(0, at), bytes.subarray(at)]),
        `keep lines whole at byte ${at}`,
      ).toEqual(lines)
  })

  it('byte by byte > the lines are the same', () => {
    const bytes = Buffer.from(text)
    expect(
      split(
        100,
        Array.from(bytes, (byte) => Uint8Array.of(byte)),
      ),
      'hold what is open',
    ).toEqual(lines)
  })

  it('bytes that are no UTF-8 > become U+FFFD', () => {
    expect(split(100, [Uint8Array.of(0x61, 0xff, 0x62, 0x0a)]), 'replace, never throw').toEqual(['a\ufffdb'])
  })

  it('a line over the limit > is cut between characters, the next one is whole', () => {
    expect(split(6, [Buffer.from('abcdé'.repeat(9)), Buffer.from('\nnext\n')]), 'keep the beginning').toEqual(
      ['abcdé', 'next'],
    )
  })

  it('nothing > is no line', () => {
    expect(split(10, []), 'emit no line for no bytes').toEqual([])
  })
})

describe('given a line for the log', () => {
  it('within the limit > stays as it is', () => {
    const line = 'é'.repeat(limits.TASK_LOG_LINE_BYTES_MAX / 2)
    expect(cutLogLine(line), 'cut only beyond the limit').toBe(line)
  })

  it.each(['x', 'é', '日', '👩', '\ufffd'])(
    'over the limit, of %j > is cut to it and says so',
    (character) => {
      const cut = cutLogLine(character.repeat(2 * limits.TASK_LOG_LINE_BYTES_MAX))
      expect(Buffer.byteLength(cut), 'the mark counts too').toBeLessThanOrEqual(
        limits.TASK_LOG_LINE_BYTES_MAX,
      )
      expect(cut.replaceAll(character, ''), 'no character is cut in two').toBe(' … [cut]')
    },
  )
})

describe('given a line of standard output', () => {
  it.each([
    ['::progress 0.42 some message', { type: 'progress', fraction: 0.42, message: 'some message' }],
    ['::progress 1', { type: 'progress', fraction: 1 }],
    ['::progress 0 ', { type: 'progress', fraction: 0 }],
    ['::progress .5  two blanks', { type: 'progress', fraction: 0.5, message: ' two blanks' }],
    ['::progress 1.000 done', { type: 'progress', fraction: 1, message: 'done' }],
    ['::result {"files":3}', { type: 'result', result: { files: 3 } }],
    ['::result null', { type: 'result', result: null }],
  ])('%j > is read as a marker', (line, read) => {
    expect(parseOutputLine(line), 'read the marker').toEqual(read)
  })

  it.each([
    '::progress',
    '::progress 1.1',
    '::progress -0.5',
    '::progress 1e-1',
    '::progress NaN',
    '::progress 50%',
    ' ::progress 0.5',
    '::result',
    '::result {"open":',
    `::result "${'x'.repeat(limits.TASK_RESULT_BYTES_MAX)}"`,
    `::result ${'['.repeat(limits.JSON_DEPTH_MAX + 1)}${']'.repeat(limits.JSON_DEPTH_MAX + 1)}`,
    'anything else',
  ])('malformed marker %# > is text', (line) => {
    expect(parseOutputLine(line), 'log what is malformed').toEqual({ type: 'text' })
  })

  it('a message over its limit > is cut', () => {
    const read = parseOutputLine(`::progress 0.5 ${'x'.repeat(limits.MESSAGE_CHARS_MAX + 1)}`)
    expect(read, 'cut the message').toMatchObject({ message: 'x'.repeat(limits.MESSAGE_CHARS_MAX) })
  })
})

describe('given a writer without end', () => {
  it('after a burst > reading rests until the clock says so', async () => {
    const timers: (() => void)[] = []
    const clock: Clock = {
      wallMs: () => 0,
      monotonicMs: () => 0,
      setTimer: (_delayMs, callback) => {
        timers.push(callback)
        return { cancel: () => {} }
      },
    }
    const output = new PassThrough()
    const lines: string[] = []
    const reader = readLines(output, clock, (line) => lines.push(line))
    output.write(Buffer.alloc(limits.TASK_OUTPUT_BURST_BYTES, '\n'))
    output.write('later\n')
    await new Promise(setImmediate)
    expect(lines.includes('later'), 'leave the rest in the pipe').toBe(false)
    expect(timers.length, 'set one timer').toBe(1)
    timers[0]?.()
    output.end()
    await reader.done
    expect(lines.at(-1), 'read on after the rest').toBe('later')
  })

  it('stopped > emits the open line and no more', async () => {
    const output = new PassThrough()
    const lines: string[] = []
    const clock: Clock = { wallMs: () => 0, monotonicMs: () => 0, setTimer: () => ({ cancel: () => {} }) }
    const reader = readLines(output, clock, (line) => lines.push(line))
    output.write('open')
    await new Promise(setImmediate)
    reader.stop()
    await reader.done
    expect(lines, 'emit what was held').toEqual(['open'])
  })
})
