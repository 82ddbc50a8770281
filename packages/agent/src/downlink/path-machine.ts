/** Names what the path does to a stream, from when its frames come and how it ends: a function of state and event. */
import {
  limits,
  parseHeartbeat,
  type DownlinkEvent,
  type Heartbeat,
  type PathReport,
  type PathVerdict,
} from '@downlink/protocol'
import type { StreamEnd } from '../stream/event-stream.ts'

/** Heartbeats that came together, and whether any of them came late. */
interface Batch {
  readonly lastMs: number
  readonly count: number
  readonly isLate: boolean
  /** The latest of them, ms. */
  readonly lagMs: number
}

/** What was seen of the open stream; times are monotonic, ms. */
interface StreamSeen {
  readonly openedMs: number
  readonly frameCount: number
  readonly frameMs: number
  /** The longest time between two frames that it outlived. */
  readonly gapMsMax: number
  /** Since when nothing has come late. */
  readonly goodSinceMs: number
  /** The least difference between our clock and the hub's that a heartbeat had: with it came the quickest. */
  readonly transitMsMin: number
  /** The last ones, the newest last. */
  readonly batches: readonly Batch[]
}

/** How a stream was cut. */
interface Cut {
  readonly lifeMs: number
  readonly idleMs: number
  /** Nothing longer than this silence had been outlived. */
  readonly isAfterSilence: boolean
}

/** What is known of the path. */
export interface PathState {
  readonly report: PathReport
  readonly stream?: StreamSeen
  /** The last cuts in a row. */
  readonly cuts: readonly Cut[]
}

/** Before anything was seen. */
export const UNKNOWN_PATH: PathState = { report: { verdict: 'unknown' }, cuts: [] }

/** Batches that are looked at. */
const BATCHES_KEPT = 4
/** Late ones among them that make a verdict: one alone may be this process, which stood still. */
const LATE_BATCHES = 2
/** Heartbeats that come within this part of their period came together. */
const TOGETHER_PART = 0.25
/** Cuts in a row that make a verdict. */
const CUTS = 3
/** Silences before cuts that differ by less than this part, or this time, ms, are the same. */
const SAME_PART = 0.15
const SAME_MS = 1_000

/** Verdicts of the way to the hub: the next frame of a stream disproves them. */
const BEFORE_STREAM: ReadonlySet<PathVerdict> = new Set([
  'unknown',
  'dns',
  'refused',
  'unreachable',
  'tls',
  'proxy-refused',
  'cut-early',
  'silent',
  'login-page',
  'wrong-content-type',
  'compressed',
  'not-http',
  'hub-refused',
])
const HELD_BACK: ReadonlySet<PathVerdict> = new Set(['body-buffered', 'one-behind'])

const VERDICT_OF_CODE: Readonly<Record<string, PathVerdict>> = {
  dns_failed: 'dns',
  connect_failed: 'refused',
  connect_timeout: 'unreachable',
  tls_failed: 'tls',
  proxy_failed: 'proxy-refused',
  http_407: 'proxy-refused',
  connection_lost: 'cut-early',
  stream_silent: 'silent',
  timed_out: 'silent',
  not_a_hub: 'login-page',
  redirect_refused: 'login-page',
  http_511: 'login-page',
  not_an_event_stream: 'wrong-content-type',
  compressed_reply: 'compressed',
  reply_malformed: 'not-http',
  reply_headers_too_large: 'limit',
  too_many_interim_replies: 'limit',
  raw_bytes_exceeded: 'limit',
}
/** Codes of this machine's own doing, which say nothing of the path. */
const OWN_CODES: ReadonlySet<string> = new Set(['client_closed', 'stood_still', 'no_credential'])
const UNREACHED: ReadonlySet<PathVerdict> = new Set(['dns', 'refused', 'unreachable', 'tls'])

/** Nobody was reached at the last try. */
export function isUnreached({ report }: PathState): boolean {
  return UNREACHED.has(report.verdict)
}

/** A stream was opened: its headers came. */
export function pathOpened({ report, cuts }: PathState, nowMs: number): PathState {
  const stream: StreamSeen = {
    openedMs: nowMs,
    frameCount: 0,
    frameMs: nowMs,
    gapMsMax: 0,
    goodSinceMs: nowMs,
    transitMsMin: Number.POSITIVE_INFINITY,
    batches: [],
  }
  return { report, cuts, stream }
}

/** No stream came about, for this reason. */
export function pathFailed({ report, cuts }: PathState, code: string): PathState {
  if (OWN_CODES.has(code)) return { report, cuts }
  return { report: { verdict: verdictOfCode(code) }, cuts }
}

/** `wake` was answered, or failed: it says something only about the way to the hub, not about streams. */
export function pathPolled(state: PathState, code: string | undefined): PathState {
  const verdict = code === undefined ? 'unknown' : verdictOfCode(code)
  const isNews = code === undefined ? UNREACHED.has(state.report.verdict) : UNREACHED.has(verdict)
  return isNews && state.stream === undefined ? { ...state, report: { verdict } } : state
}

/**
 * A frame came.
 * @param lagMs - of a heartbeat: how late it is, where the hub's clock is known; else it is judged by the quickest one.
 */
export function pathFrame(
  state: PathState,
  frame: DownlinkEvent,
  { heartbeatMs, lagMs, nowMs }: { heartbeatMs: number; lagMs: number | undefined; nowMs: number },
): PathState {
  if (state.stream === undefined) return state
  const before = state.stream
  const heartbeat = frame.type === 'ping' ? parseHeartbeat(frame.comment) : undefined
  const arrived: StreamSeen = {
    ...before,
    frameCount: before.frameCount + 1,
    frameMs: nowMs,
    gapMsMax: Math.max(before.gapMsMax, nowMs - before.frameMs),
  }
  const stream =
    heartbeat === undefined ? arrived : takeHeartbeat(arrived, heartbeat, heartbeatMs, lagMs, nowMs)
  const isLate = stream.batches.at(-1)?.isLate === true
  const report = heldBack(stream, heartbeatMs) ?? cleared(state, stream, isLate, heartbeatMs, nowMs)
  return { cuts: state.cuts, stream, report }
}

/** The stream ended. */
export function pathEnded(state: PathState, end: StreamEnd, nowMs: number): PathState {
  const { stream, report, cuts } = state
  if (stream === undefined) return state
  switch (end.reason) {
    case 'closed':
    case 'aborted':
    case 'drained':
      return { report, cuts }
    case 'silent': {
      const isBuffered = stream.frameCount === 0 || stream.batches.some(({ isLate }) => isLate)
      return { report: { verdict: isBuffered ? 'body-buffered' : 'stalled' }, cuts: [] }
    }
    case 'limit':
      return { report: { verdict: 'limit' }, cuts: [] }
    case 'revoked':
      return { report: { verdict: 'hub-refused' }, cuts: [] }
    case 'ended':
    case 'lost':
      return afterCut(state, stream, end.reason, nowMs)
  }
}

/** Whether what the stream brings is held back, so that something else must bring the news. */
export function isHeldBack({ report }: PathState): boolean {
  return HELD_BACK.has(report.verdict)
}

/** Since when nothing has come late on the open stream, monotonic, ms. */
export function goodSinceMs({ stream }: PathState): number | undefined {
  return stream?.goodSinceMs
}

function verdictOfCode(code: string): PathVerdict {
  if (code.startsWith('sse_')) return 'limit'
  return Object.hasOwn(VERDICT_OF_CODE, code) ? (VERDICT_OF_CODE[code] ?? 'hub-refused') : 'hub-refused'
}

function takeHeartbeat(
  stream: StreamSeen,
  { hubMs }: Heartbeat,
  heartbeatMs: number,
  knownLagMs: number | undefined,
  nowMs: number,
): StreamSeen {
  const transitMs = nowMs - hubMs
  const transitMsMin = Math.min(stream.transitMsMin, transitMs)
  const lagMs = knownLagMs ?? transitMs - transitMsMin
  const isLate = lagMs > Math.max(limits.LATE_LAG_HEARTBEATS * heartbeatMs, limits.LATE_LAG_MS_MIN)
  const last = stream.batches.at(-1)
  const isTogether = last !== undefined && nowMs - last.lastMs < TOGETHER_PART * heartbeatMs
  const batch: Batch = isTogether
    ? {
        lastMs: nowMs,
        count: last.count + 1,
        isLate: last.isLate || isLate,
        lagMs: Math.max(last.lagMs, lagMs),
      }
    : { lastMs: nowMs, count: 1, isLate, lagMs }
  const earlier = isTogether ? stream.batches.slice(0, -1) : stream.batches
  return {
    ...stream,
    transitMsMin,
    goodSinceMs: batch.isLate ? nowMs : stream.goodSinceMs,
    batches: [...earlier, batch].slice(-BATCHES_KEPT),
  }
}

/** The verdict on late heartbeats, if there is one. Of the last batch, which may not be whole, only a second one counts. */
function heldBack({ batches }: StreamSeen, heartbeatMs: number): PathReport | undefined {
  const late = batches.filter(
    (batch, index) => batch.isLate && (index < batches.length - 1 || batch.count > 1),
  )
  if (late.length < LATE_BATCHES || batches.at(-1)?.isLate !== true) return undefined
  const lagMs = Math.round(Math.max(...late.map((batch) => batch.lagMs)))
  const isOneBehind = late.every(({ count }) => count === 1) && lagMs < (1 + TOGETHER_PART) * heartbeatMs
  return { verdict: isOneBehind ? 'one-behind' : 'body-buffered', lagMs }
}

/** What a frame leaves of the verdict before: what was said of the way to the hub is over, the rest must be outlived. */
function cleared(
  { report, cuts }: PathState,
  { openedMs, goodSinceMs: sinceMs }: StreamSeen,
  isLate: boolean,
  heartbeatMs: number,
  nowMs: number,
): PathReport {
  const { verdict } = report
  if (verdict === 'ok' || isLate) return report
  if (BEFORE_STREAM.has(verdict)) return { verdict: 'ok' }
  const proofMs = limits.PROBE_HEARTBEATS * heartbeatMs
  const neededMs = HELD_BACK.has(verdict)
    ? proofMs
    : Math.max(proofMs, limits.STREAM_PROVEN_MS, ...cuts.map(({ lifeMs }) => 2 * lifeMs))
  const goodMs = nowMs - (HELD_BACK.has(verdict) ? sinceMs : openedMs)
  return goodMs >= neededMs ? { verdict: 'ok' } : report
}

function afterCut(
  { report, cuts: earlier }: PathState,
  stream: StreamSeen,
  reason: 'ended' | 'lost',
  nowMs: number,
): PathState {
  const lifeMs = nowMs - stream.openedMs
  // In order and after a while: that is how a hub sends streams elsewhere.
  if (reason === 'ended' && lifeMs >= limits.STREAM_PROVEN_MS) return { report, cuts: [] }
  if (stream.frameCount === 0 && lifeMs < limits.STREAM_EARLY_END_MS) {
    return { report: { verdict: 'cut-early' }, cuts: earlier }
  }
  const idleMs = nowMs - stream.frameMs
  const isAfterSilence = idleMs >= SAME_MS && idleMs > stream.gapMsMax
  const isShort = lifeMs < limits.STREAM_TRUSTED_MS
  const cuts = [...(isShort ? earlier : []), { lifeMs, idleMs, isAfterSilence }].slice(-CUTS)
  return { report: verdictOfCuts(cuts) ?? report, cuts }
}

function verdictOfCuts(cuts: readonly Cut[]): PathReport | undefined {
  if (cuts.length < CUTS) return undefined
  const silences = cuts.map(({ idleMs }) => idleMs)
  const [least, most] = [Math.min(...silences), Math.max(...silences)]
  const isSame = most - least <= Math.max(SAME_MS, SAME_PART * most)
  if (isSame && cuts.every(({ isAfterSilence }) => isAfterSilence)) {
    return { verdict: 'cut-idle', idleMs: Math.round(least) }
  }
  return cuts.every(({ lifeMs }) => lifeMs < 2 * limits.STREAM_PROVEN_MS)
    ? { verdict: 'unstable' }
    : undefined
}
