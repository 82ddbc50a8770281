/** The codec of event streams, compared with a reference that goes by the words of the standard. */
import {
  createSseDecoder,
  downlinkEvent,
  encodeCommands,
  encodeSseComment,
  encodeSseEvent,
  encodeSseRetry,
  isJsonObject,
  limits,
  parseControls,
  parseJson,
  SseEncodeError,
  SseLimitError,
  type SseLimits,
} from '@downlink/protocol'
import { isDeepStrictEqual } from 'node:util'
import type { Chance } from './chance.ts'
import { check, type FuzzTarget } from './fuzz-target.ts'
import { jsonBytes } from './json-text.ts'
import { decodeByTheStandard, type SseReport } from './reference-decoder.ts'
import { EVENT_DATA } from './samples.ts'
import { cut, streamBytes } from './stream-bytes.ts'

const DEFAULTS: SseLimits = {
  lineBytesMax: limits.SSE_LINE_BYTES_MAX,
  eventBytesMax: limits.SSE_EVENT_BYTES_MAX,
  blockBytesMax: limits.SSE_BLOCK_BYTES_MAX,
  blockLinesMax: limits.SSE_BLOCK_LINES_MAX,
}

/** Any stream, any chunks, any pauses, and any bounds: the reports of the reference. */
export const sseDecoder: FuzzTarget = {
  name: 'sse-decoder',
  generate: streamBytes,
  run(input, chance) {
    for (const bounds of [DEFAULTS, smallBounds(chance)]) {
      const expected = decodeByTheStandard(input, bounds)
      same(decode([input], bounds), expected, 'in one piece')
      same(decode(cut(chance, input), bounds), expected, 'in chunks')
      same(decode(cut(chance, input), bounds, chance), expected, 'in chunks, with pauses')
    }
  },
}

/** Frames of any texts: refused by its error, or read as they were meant, by an original too. */
export const sseEncoder: FuzzTarget = {
  name: 'sse-encoder',
  generate: (chance) =>
    jsonBytes(chance, [{ event: 'sync', data: '{}', id: '1', retryMs: 5 }, ...EVENT_DATA]),
  run(input, chance) {
    const text = Buffer.from(input).toString(chance.oneIn(2) ? 'utf8' : 'utf16le')
    const at = chance.below(text.length + 1)
    const frame = {
      event: chance.oneIn(2) ? 'sync' : text.slice(0, at),
      data: text.slice(at),
      ...(chance.oneIn(2) ? {} : { id: text.slice(0, chance.below(20)) }),
      ...(chance.oneIn(2) ? {} : { retryMs: chance.pick([0, 1.5, -1, NaN, 2 ** 31 - 1, 2 ** 31]) }),
    }
    const wanted = (value: string): string => value.toWellFormed().replaceAll(/\r\n|\r/g, '\n')
    const encoded = encoding(() => encodeSseEvent(frame))
    if (encoded !== undefined) {
      const event = decodeByTheStandard(encoded, DEFAULTS).filter(({ type }) => type === 'event')
      const meant = {
        name: wanted(frame.event),
        data: wanted(frame.data),
        lastEventId: wanted(frame.id ?? ''),
      }
      same(event, [{ type: 'event', ...meant }], 'as it was meant')
      checkForOriginals(encoded)
    }
    const comment = encoding(() => encodeSseComment(text))
    if (comment !== undefined) {
      const lines = wanted(text).split('\n')
      same(
        decodeByTheStandard(comment, DEFAULTS),
        lines.map((line) => ({ type: 'comment', text: line })),
        'as it was meant',
      )
    }
    encoding(() => encodeSseRetry(Number(text)))
    checkCommands(text)
  },
}

/** What is read as controls can be written as commands, and comes back. */
function checkCommands(text: string): void {
  const json = parseJson(text, limits.JSON_DEPTH_MAX)
  if (!isJsonObject(json)) return
  const controls = parseControls(json)
  const frames = encoding(() => encodeCommands(controls))
  const back = (frames ?? []).flatMap((frame) => {
    checkForOriginals(frame)
    const [report] = decodeByTheStandard(frame, DEFAULTS)
    const event = report?.type === 'event' ? downlinkEvent(report.name, report.data) : undefined
    return event?.type === 'command' ? event.controls : []
  })
  if (frames !== undefined) check(back.length === controls.length, 'a control was lost on its way')
}

/** @throws Finding if an original agent would end its connection for the frame. */
function checkForOriginals(frame: Uint8Array): void {
  const longest = Math.max(
    ...Buffer.from(frame)
      .toString('latin1')
      .split('\n')
      .map(({ length }) => length),
  )
  check(longest <= limits.SSE_LINE_BYTES_MAX, 'a line is longer than an original reads')
}

function encoding<T>(encode: () => T): T | undefined {
  try {
    return encode()
  } catch (error) {
    if (error instanceof SseEncodeError) return undefined
    throw error
  }
}

function smallBounds(chance: Chance): SseLimits {
  const bound = (): number => 1 + chance.below(chance.pick([8, 200, 4_000]))
  return { lineBytesMax: bound(), eventBytesMax: bound(), blockBytesMax: bound(), blockLinesMax: bound() }
}

/** What the real decoder reports; it pauses at every third report of `pauses`. */
function decode(chunks: readonly Uint8Array[], bounds: SseLimits, pauses?: Chance): readonly SseReport[] {
  const reports: SseReport[] = []
  const report = (next: SseReport): void => {
    check(!isPaused, 'it reports while it is paused')
    reports.push(next)
    if (pauses?.oneIn(3) === true) {
      isPaused = true
      decoder.pause()
    }
  }
  let isPaused = false
  const decoder = createSseDecoder(
    {
      event: (name, data, lastEventId) => report({ type: 'event', name, data, lastEventId }),
      comment: (text) => report({ type: 'comment', text }),
      retry: (retryMs) => report({ type: 'retry', retryMs }),
    },
    bounds,
  )
  try {
    for (const chunk of chunks) {
      let isRead = decoder.push(chunk)
      while (!isRead) {
        isPaused = false
        isRead = decoder.resume()
      }
      isPaused = false
    }
    decoder.end()
  } catch (error) {
    if (!(error instanceof SseLimitError)) throw error
    reports.push({ type: 'error', code: error.code })
  }
  return reports
}

function same(got: readonly unknown[], expected: readonly unknown[], how: string): void {
  if (isDeepStrictEqual(got, expected)) return
  const at = expected.findIndex((report, index) => !isDeepStrictEqual(report, got[index]))
  const index = at === -1 ? expected.length : at
  const shown = (list: readonly unknown[]): string => JSON.stringify(list[index])?.slice(0, 300) ?? 'nothing'
  check(false, `${how}, report ${index} of ${expected.length} is ${shown(got)}, not ${shown(expected)}`)
}
