/** The events of a stream as both ends mean them: typed on the way in, encoded and split on the way out. */
import { controlToJson, parseControls, type Control } from './controls.ts'
import { integerField, isJsonObject, parseJson, stringField } from './json.ts'
import {
  CONTROLS_PER_MESSAGE_MAX,
  JSON_DEPTH_MAX,
  MESSAGE_CHARS_MAX,
  RECONNECT_WINDOW_MS_MAX,
  RETRY_MS_MAX,
  SSE_DATA_LINE_BYTES_MAX,
} from './limits.ts'
import { encodeSseComment, encodeSseEvent } from './sse/encode.ts'

/** One thing that came down a stream. A comment is a `ping`: it proves life and asks for nothing. */
export type DownlinkEvent =
  | { readonly type: 'ping'; readonly comment: string }
  /** `withinMs`: the window to spread over when many agents are told at once. */
  | { readonly type: 'sync'; readonly reason: string; readonly withinMs?: number }
  | { readonly type: 'command'; readonly controls: readonly Control[] }
  | { readonly type: 'drain'; readonly reconnectAfterMs: number }
  | { readonly type: 'unknown'; readonly event: string; readonly data: string }

/** A heartbeat's counter and the hub's wall clock, ms. */
export interface Heartbeat {
  readonly counter: number
  readonly hubMs: number
}

const utf8 = new TextEncoder()

/**
 * The first bytes of every stream: `retry:` and `: connected hb=…`, exactly as originals expect them, and the
 * window of the first reconnects, if there is one to tell.
 */
export function encodePreamble(heartbeatMs: number, retryMs: number, windowMs?: number): Uint8Array {
  const window = windowMs === undefined ? '' : `: window w=${windowMs}\n\n`
  return utf8.encode(`retry: ${retryMs}\n: connected hb=${heartbeatMs}\n\n${window}`)
}

/** `: hb n=COUNTER t=HUB_MS`, and `w=WINDOW_MS` behind it. */
export function encodeHeartbeat(heartbeat: Heartbeat, windowMs?: number): Uint8Array {
  const window = windowMs === undefined ? '' : ` w=${windowMs}`
  return encodeSseComment(`hb n=${heartbeat.counter} t=${heartbeat.hubMs}${window}`)
}

/** `event: sync`: come and fetch, at some time within `withinMs` if it is given. */
export function encodeSync(reason: string, withinMs?: number): Uint8Array {
  const data = { reason, ...(withinMs === undefined ? {} : { withinMs }) }
  return encodeSseEvent({ event: 'sync', data: JSON.stringify(data) })
}

/** `event: drain`: this stream will end; come back `reconnectAfterMs` after its end. Originals ignore it. */
export function encodeDrain(reconnectAfterMs: number): Uint8Array {
  return encodeSseEvent({ event: 'drain', data: JSON.stringify({ reconnectAfterMs }) })
}

/** `event: command` frames, split so that no line passes what an original reads. Each frame stands alone. */
export function encodeCommands(controls: readonly Control[]): readonly Uint8Array[] {
  const [only] = controls
  if (only !== undefined && controls.length === 1)
    return [encodeCommand([JSON.stringify(controlToJson(only))])]
  const frames: Uint8Array[] = []
  let parts: string[] = []
  let bytes = 0
  const flush = (): void => {
    if (parts.length > 0) frames.push(encodeCommand(parts))
    parts = []
    bytes = 0
  }
  const frameBytesMax = SSE_DATA_LINE_BYTES_MAX - 'data: {"controls":[]}'.length
  for (const control of controls) {
    const part = JSON.stringify(controlToJson(control))
    const partBytes = utf8.encode(part).length + 1
    if (bytes + partBytes > frameBytesMax || parts.length === CONTROLS_PER_MESSAGE_MAX) flush()
    parts.push(part)
    bytes += partBytes
  }
  flush()
  return frames
}

function encodeCommand(parts: readonly string[]): Uint8Array {
  return encodeSseEvent({ event: 'command', data: `{"controls":[${parts.join(',')}]}` })
}

/** The event that a decoded SSE event means. Known names with unreadable data become `unknown`, and nothing is thrown. */
export function downlinkEvent(event: string, data: string): DownlinkEvent {
  switch (event) {
    case 'sync':
      // Asks for nothing that its data could change, so unreadable data must not swallow it.
      return syncEvent(parseJson(data, JSON_DEPTH_MAX))
    case 'command': {
      const value = parseJson(data, JSON_DEPTH_MAX)
      return isJsonObject(value)
        ? { type: 'command', controls: parseControls(value) }
        : { type: 'unknown', event, data }
    }
    case 'drain': {
      const value = parseJson(data, JSON_DEPTH_MAX)
      if (!isJsonObject(value)) break
      const reconnectAfterMs = integerField(value, 'reconnectAfterMs', 0, Number.MAX_SAFE_INTEGER) ?? 0
      return { type: 'drain', reconnectAfterMs: Math.min(RETRY_MS_MAX, reconnectAfterMs) }
    }
  }
  return { type: 'unknown', event, data }
}

/** Counter and hub time of a heartbeat comment, or undefined for any other comment. */
export function parseHeartbeat(comment: string): Heartbeat | undefined {
  const match = /^hb n=(\d{1,15}) t=(\d{1,15})(?: |$)/.exec(comment)
  return match === null ? undefined : { counter: Number(match[1]), hubMs: Number(match[2]) }
}

/** The heartbeat period that a preamble comment advertises, ms, or undefined for any other comment. */
export function advertisedHeartbeatMs(comment: string): number | undefined {
  const match = /^connected hb=(\d{1,9})\b/.exec(comment)
  return match === null ? undefined : Number(match[1])
}

/** The window of the first reconnects that a comment tells, ms, at most `RECONNECT_WINDOW_MS_MAX`, or undefined. */
export function advertisedWindowMs(comment: string): number | undefined {
  const match = /^(?:window|hb n=\d{1,15} t=\d{1,15}) w=(\d{1,9})(?: |$)/.exec(comment)
  return match === null ? undefined : Math.min(RECONNECT_WINDOW_MS_MAX, Number(match[1]))
}

function syncEvent(value: ReturnType<typeof parseJson>): DownlinkEvent {
  if (value === undefined || !isJsonObject(value)) return { type: 'sync', reason: '' }
  const withinMs = integerField(value, 'withinMs', 1, Number.MAX_SAFE_INTEGER)
  return {
    type: 'sync',
    reason: stringField(value, 'reason', MESSAGE_CHARS_MAX) ?? '',
    ...(withinMs === undefined ? {} : { withinMs: Math.min(RETRY_MS_MAX, withinMs) }),
  }
}
