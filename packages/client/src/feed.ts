/** Reads the hub's feed of what happens, and goes on where it was after every break. */
import {
  createSseDecoder,
  delay,
  DownlinkError,
  isJsonObject,
  limits,
  parseJson,
  stringField,
  type FeedEvent,
  type Json,
} from '@downlink/protocol'
import { isPassing, jitterMs } from './backoff.ts'
import type { FeedOptions } from './client-options.ts'
import { openReply, type HubConnection } from './hub-request.ts'
import { readAgent, readControl, readTask } from './replies.ts'
import { badReplyError, timeoutError, unreachableError } from './reply-error.ts'

/** A frame of the feed: where to go on, and what there is to show, if this reader knows it. */
interface Frame {
  readonly cursor: string
  readonly event?: FeedEvent
}

/**
 * Events from `after` on, or from now; ends only by `break`, the signal or an error that asking again cannot mend.
 * @throws HttpError, DownlinkError `bad_reply`, and the signal's reason.
 */
export async function* readFeed(connection: HubConnection, options: FeedOptions): AsyncGenerator<FeedEvent> {
  const { clock, random } = connection
  let cursor = options.after
  for (let attempt = 1; ; attempt += 1) {
    try {
      for await (const frame of readFrames(connection, { ...options, after: cursor })) {
        attempt = 0
        if (frame.cursor !== '') cursor = frame.cursor
        // A changed presence is no place in history, so it has no id of its own.
        if (frame.event !== undefined) yield { ...frame.event, id: cursor ?? '' }
      }
    } catch (error) {
      options.signal?.throwIfAborted()
      if (!isPassing(error)) throw error
    }
    await delay(clock, jitterMs(Math.max(1, attempt), random()), options.signal)
  }
}

/** The frames of one connection, until it ends. */
async function* readFrames(
  connection: HubConnection,
  { after, agentId, signal }: FeedOptions & { readonly after: string | undefined },
): AsyncGenerator<Frame> {
  const { clock, base } = connection
  const name = `GET /api/v1/events at ${base.host}`
  const controller = new AbortController()
  const onAbort = (): void => controller.abort(signal?.reason)
  signal?.addEventListener('abort', onAbort, { once: true })
  const silence = (): void => controller.abort(timeoutError(name, limits.FEED_SILENCE_MS))
  let timer = clock.setTimer(limits.FEED_SILENCE_MS, silence)
  try {
    const request = {
      method: 'GET',
      path: '/events',
      query: () => ({ after, agentId }),
      accept: 'text/event-stream',
    } as const
    const response = await openReply(connection, request, name, controller.signal)
    if (!response.headers.get('content-type')?.startsWith('text/event-stream')) {
      throw badReplyError(name, 'not with an event stream')
    }
    const frames: Frame[] = []
    const decoder = createSseDecoder({
      event: (type, data, cursor) => void frames.push(frameOf(type, data, cursor)),
      comment() {},
    })
    for await (const chunk of chunksOf(response)) {
      timer.cancel()
      timer = clock.setTimer(limits.FEED_SILENCE_MS, silence)
      decoder.push(chunk)
      yield* frames.splice(0)
    }
  } catch (error) {
    // Whatever broke because of the abort, the abort is the cause.
    controller.signal.throwIfAborted()
    throw error instanceof DownlinkError ? error : unreachableError(name, error)
  } finally {
    timer.cancel()
    signal?.removeEventListener('abort', onAbort)
    controller.abort()
  }
}

async function* chunksOf(response: Response): AsyncGenerator<Uint8Array> {
  const body: ReadableStream<Uint8Array> | null = response.body
  const reader = body?.getReader()
  for (;;) {
    const { done = true, value } = (await reader?.read()) ?? {}
    if (done || value === undefined) return
    yield value
  }
}

/** Unknown events are passed over, so that a newer hub may have more of them. */
function frameOf(type: string, data: string, cursor: string): Frame {
  const event = eventOf(type, parseJson(data, FEED_DEPTH_MAX), cursor)
  return event === undefined ? { cursor } : { cursor, event }
}

function eventOf(type: string, json: Json | undefined, id: string): FeedEvent | undefined {
  if (type === 'begin') return { id, type }
  if (type === 'reset') {
    const reason = isJsonObject(json) ? stringField(json, 'reason', RESET_REASON_CHARS_MAX) : undefined
    return { id, type, ...(reason === undefined ? {} : { reason }) }
  }
  if (!isJsonObject(json)) return undefined
  const { agent = null, control = null, task = null } = json
  switch (type) {
    case 'agent': {
      const record = readAgent(agent)
      return record && { id, type, agent: record }
    }
    case 'control': {
      const record = readControl(control)
      return record && { id, type, control: record }
    }
    case 'task': {
      const record = readTask(task)
      return record && { id, type, task: record }
    }
    default:
      return undefined
  }
}

/** Longer than any reason that a hub gives. */
const RESET_REASON_CHARS_MAX = 64
/** Deeper than what anybody may send, as a record and an event wrap it. */
const FEED_DEPTH_MAX = limits.JSON_DEPTH_MAX + 9
