/** What a process writes, cut into lines within bounds and read no faster than the agent can bear. */
import { Buffer } from 'node:buffer'
import type { Readable } from 'node:stream'
import { limits, parseJson } from '@downlink/protocol'
import type { Clock, Json } from '@downlink/protocol'

const {
  JSON_DEPTH_MAX,
  MESSAGE_CHARS_MAX,
  TASK_LOG_LINE_BYTES_MAX,
  TASK_OUTPUT_BURST_BYTES,
  TASK_OUTPUT_REST_MS,
  TASK_RESULT_BYTES_MAX,
} = limits

const LF = 0x0a
const RESULT_PREFIX = '::result '
/** Bytes that are held of one line: a result at its limit fits; what is logged of a line is cut further. */
const LINE_BYTES_HELD_MAX = RESULT_PREFIX.length + TASK_RESULT_BYTES_MAX + 1
const CUT_MARK = ' … [cut]'

/** Cuts bytes into lines. */
export interface LineSplitter {
  push(chunk: Uint8Array): void
  /** Emits what stands after the last line end, if anything. */
  end(): void
}

/**
 * Emits each line without its LF or CRLF, decoded as UTF-8 with U+FFFD for what is none.
 * Of a line longer than `bytesMax` only the beginning is emitted; what is held never exceeds `bytesMax`.
 */
export function createLineSplitter(bytesMax: number, onLine: (line: string) => void): LineSplitter {
  // Lines are cut as bytes: LF occurs in no longer UTF-8 sequence, so a character is never split between two lines.
  const held = Buffer.alloc(bytesMax)
  let heldBytes = 0
  let isOpen = false
  const hold = (part: Uint8Array): void => {
    const fitting = part.subarray(0, bytesMax - heldBytes)
    held.set(fitting, heldBytes)
    heldBytes += fitting.length
    isOpen = true
  }
  const emit = (): void => {
    const line = decodeUtf8(held.subarray(0, heldBytes), heldBytes === bytesMax)
    heldBytes = 0
    isOpen = false
    onLine(line.endsWith('\r') ? line.slice(0, -1) : line)
  }
  return {
    push(chunk) {
      let start = 0
      for (;;) {
        const end = chunk.indexOf(LF, start)
        if (end < 0) break
        hold(chunk.subarray(start, end))
        emit()
        start = end + 1
      }
      if (start < chunk.length) hold(chunk.subarray(start))
    },
    end() {
      if (isOpen) emit()
    },
  }
}

function decodeUtf8(bytes: Uint8Array, dropsBrokenEnd: boolean): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes, { stream: dropsBrokenEnd })
}

/** `line` within `TASK_LOG_LINE_BYTES_MAX` bytes of UTF-8; a longer one is cut between characters and says so. */
export function cutLogLine(line: string): string {
  if (Buffer.byteLength(line) <= TASK_LOG_LINE_BYTES_MAX) return line
  const bytes = Buffer.from(line).subarray(0, TASK_LOG_LINE_BYTES_MAX - Buffer.byteLength(CUT_MARK))
  return decodeUtf8(bytes, true) + CUT_MARK
}

/** What a line of standard output says. */
export type OutputLine =
  | { readonly type: 'text' }
  | { readonly type: 'progress'; readonly fraction: number; readonly message?: string }
  | { readonly type: 'result'; readonly result: Json }

const PROGRESS = /^::progress (0?\.\d{1,17}|0|1(?:\.0{1,17})?)(?: (.*))?$/su

/**
 * Reads `::progress 0.42 some message` and `::result {"any":"json"}`.
 * Everything else is text, markers that are malformed or beyond `TASK_RESULT_BYTES_MAX` too.
 */
export function parseOutputLine(line: string): OutputLine {
  const progress = PROGRESS.exec(line)
  if (progress !== null) {
    const [, fraction, message] = progress
    return {
      type: 'progress',
      fraction: Number(fraction),
      ...(message ? { message: message.slice(0, MESSAGE_CHARS_MAX).toWellFormed() } : {}),
    }
  }
  if (!line.startsWith(RESULT_PREFIX)) return { type: 'text' }
  const json = line.slice(RESULT_PREFIX.length)
  const result =
    Buffer.byteLength(json) <= TASK_RESULT_BYTES_MAX ? parseJson(json, JSON_DEPTH_MAX) : undefined
  return result === undefined ? { type: 'text' } : { type: 'result', result }
}

/** Output that is being read. */
export interface OutputReader {
  /** Resolves when everything has been read, or after `stop`; never rejects. */
  readonly done: Promise<void>
  /** Reads no more; what stood in an open line is still emitted. */
  stop(): void
}

/**
 * Reads `output` line by line, resting `TASK_OUTPUT_REST_MS` after every `TASK_OUTPUT_BURST_BYTES`: meanwhile the
 * pipe fills and its writer waits.
 */
export function readLines(output: Readable, clock: Clock, onLine: (line: string) => void): OutputReader {
  const splitter = createLineSplitter(LINE_BYTES_HELD_MAX, onLine)
  const { promise: done, resolve } = Promise.withResolvers<void>()
  let burstBytes = 0
  let isDone = false
  const finish = (): void => {
    if (isDone) return
    isDone = true
    splitter.end()
    resolve()
  }
  output.on('data', (chunk: Uint8Array) => {
    if (isDone) return
    splitter.push(chunk)
    burstBytes += chunk.length
    if (burstBytes < TASK_OUTPUT_BURST_BYTES) return
    burstBytes = 0
    output.pause()
    clock.setTimer(TASK_OUTPUT_REST_MS, () => output.resume())
  })
  // A read error ends the output just as its end does: the writer is gone either way.
  output.on('error', finish)
  output.on('close', finish)
  return {
    done,
    stop() {
      finish()
      output.destroy()
    },
  }
}
