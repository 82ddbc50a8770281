/** A hub behind a path that misbehaves on demand, in memory and on a test's clock. */
import { encodeHeartbeat, encodePreamble, encodeSync, limits, type Timer } from '@downlink/protocol'
import { Readable } from 'node:stream'
import type { AgentTransport } from '../src/http/transport.ts'
import type { TestClock } from '../src/testing/index.ts'

/** What a path does to streams; JSON requests pass it unharmed, unless nobody is reached at all. */
export type PathKind =
  | 'ok'
  | 'headers held back'
  | 'body held back'
  | 'body in batches of 2'
  | 'body in batches of 3'
  | 'one event behind'
  | 'black hole after 150 bytes'
  | 'cut when idle for 12 s'
  | 'cut when idle for 30 s'
  | 'cut after 20 s'
  | 'cut after 50 s'
  | 'ended in order after 20 s'
  | 'login page'
  | 'redirect'
  | 'other content type'
  | 'compressed'
  | 'refused'
  | 'no such name'
  | 'bad certificate'
  | 'SYN dropped'
  | 'proxy wants a password'

const UNREACHED: Partial<Record<PathKind, string>> = {
  refused: 'ECONNREFUSED',
  'no such name': 'ENOTFOUND',
  'bad certificate': 'CERT_HAS_EXPIRED',
  'SYN dropped': 'ETIMEDOUT',
}
const SSE = { 'content-type': 'text/event-stream' }

/** The hub and the path to it. */
export interface SimulatedPath {
  readonly transport: AgentTransport
  kind: PathKind
  /** When streams were dialled, ms of the clock. */
  readonly dials: readonly number[]
  /** When `wake` was asked, ms of the clock. */
  readonly asks: readonly number[]
  /** The most streams and the most questions that were under way at once. */
  readonly mostAtOnce: { streams: number; asks: number }
  /** Pushes an event to all streams, and wakes whoever asks. */
  nudge(): void
  stop(): void
}

/** Makes a hub with heartbeats of the default period. */
export function createSimulatedPath(clock: TestClock, first: PathKind): SimulatedPath {
  const streams = new Set<Connection>()
  const questions = new Set<() => void>()
  let underWay = 0
  let counter = 0
  let wheel: Timer
  const beat = (): void => {
    counter += 1
    const frame = encodeHeartbeat({ counter, hubMs: clock.wallMs() }, limits.RECONNECT_WINDOW_MS_MIN)
    for (const stream of streams) stream.write(frame)
    wheel = clock.setTimer(limits.HEARTBEAT_MS_DEFAULT, beat)
  }
  beat()

  const path = {
    kind: first,
    dials: [] as number[],
    asks: [] as number[],
    mostAtOnce: { streams: 0, asks: 0 },
    nudge() {
      for (const stream of streams) stream.write(encodeSync('wake'))
      for (const answer of questions) answer()
    },
    stop() {
      wheel.cancel()
      for (const stream of streams) stream.end()
    },
    transport: {
      async request({ path: at, signal }) {
        const isStream = at.endsWith('/events')
        ;(isStream ? path.dials : path.asks).push(clock.monotonicMs())
        const code = UNREACHED[path.kind]
        if (code !== undefined) throw Object.assign(new Error(code), { code })
        if (!isStream) return { status: 200, headers: {}, body: await asked(signal) }
        return dialled(signal)
      },
    } satisfies AgentTransport,
  }

  async function asked(signal: AbortSignal): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const answer = (): void => resolve(true)
    const timer = clock.setTimer(limits.WAKE_HOLD_MS_MAX, () => resolve(false))
    questions.add(answer)
    path.mostAtOnce.asks = Math.max(path.mostAtOnce.asks, questions.size)
    signal.addEventListener('abort', () => resolve(false), { once: true })
    const wake = await promise
    timer.cancel()
    questions.delete(answer)
    signal.throwIfAborted()
    return JSON.stringify({ wake })
  }

  async function dialled(signal: AbortSignal): ReturnType<AgentTransport['request']> {
    underWay += 1
    path.mostAtOnce.streams = Math.max(path.mostAtOnce.streams, underWay)
    const over = (): void => void (underWay -= 1)
    const refused = REFUSALS[path.kind]
    if (refused !== undefined) {
      over()
      return refused
    }
    if (path.kind === 'headers held back') {
      const { promise, reject } = Promise.withResolvers<never>()
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
      return promise.finally(over)
    }
    const stream = new Connection(
      clock,
      () => path.kind,
      () => {
        streams.delete(stream)
        over()
      },
    )
    signal.addEventListener('abort', () => stream.cut(), { once: true })
    streams.add(stream)
    const preamble = encodePreamble(
      limits.HEARTBEAT_MS_DEFAULT,
      limits.PREAMBLE_RETRY_MS,
      limits.RECONNECT_WINDOW_MS_MIN,
    )
    stream.write(preamble)
    return { status: 200, headers: SSE, body: stream.body }
  }
  return path
}

const HTML = { 'content-type': 'text/html; charset=utf-8' }
/** What is answered in the hub's place. */
const REFUSALS: Partial<Record<PathKind, Awaited<ReturnType<AgentTransport['request']>>>> = {
  'login page': { status: 200, headers: HTML, body: '<form>' },
  redirect: { status: 302, headers: { location: 'https://portal.example/login' }, body: '' },
  'other content type': { status: 200, headers: { 'content-type': 'application/json' }, body: '{}' },
  compressed: { status: 200, headers: { ...SSE, 'content-encoding': 'gzip' }, body: '' },
  'proxy wants a password': { status: 407, headers: HTML, body: '<h1>' },
}
/** How many of the frames that wait come out when another one is written; all of them on any other path. */
const PASSES: Partial<Record<PathKind, (waiting: number) => number>> = {
  'body held back': () => 0,
  'body in batches of 2': (waiting) => (waiting < 2 ? 0 : waiting),
  'body in batches of 3': (waiting) => (waiting < 3 ? 0 : waiting),
  'one event behind': (waiting) => waiting - 1,
}

/** One stream as it comes out of the path. */
class Connection {
  readonly body = new Readable({ read: () => undefined })
  readonly #clock: TestClock
  readonly #kindNow: () => PathKind
  readonly #timers: Timer[] = []
  #held: Uint8Array[] = []
  #passedBytes = 0
  #idle: Timer | undefined

  /** @param kindNow - what the path does to what is written; how long it lets a stream live is as it was at first. */
  constructor(clock: TestClock, kindNow: () => PathKind, onOver: () => void) {
    const kind = kindNow()
    this.#clock = clock
    this.#kindNow = kindNow
    this.body.on('error', () => undefined)
    this.body.once('close', () => {
      for (const timer of [...this.#timers, this.#idle]) timer?.cancel()
      onOver()
    })
    const lifeMs = kind === 'cut after 20 s' ? 20_000 : kind === 'cut after 50 s' ? 50_000 : undefined
    if (lifeMs !== undefined) this.#timers.push(clock.setTimer(lifeMs, () => this.cut()))
    if (kind === 'ended in order after 20 s') this.#timers.push(clock.setTimer(20_000, () => this.end()))
  }

  write(frame: Uint8Array): void {
    const kind = this.#kindNow()
    this.#idle?.cancel()
    if (kind.startsWith('cut when idle')) {
      const idleMs = kind === 'cut when idle for 12 s' ? 12_000 : 30_000
      this.#idle = this.#clock.setTimer(idleMs, () => this.cut())
    }
    this.#held.push(frame)
    const waiting = this.#held.length
    this.#pass(...this.#held.splice(0, PASSES[kind]?.(waiting) ?? waiting))
  }

  /** As a proxy or a firewall does. */
  cut(): void {
    this.body.destroy(Object.assign(new Error('cut'), { code: 'ECONNRESET' }))
  }

  end(): void {
    this.body.push(null)
  }

  #pass(...frames: readonly Uint8Array[]): void {
    for (const frame of frames) {
      this.#passedBytes += frame.length
      if (this.#kindNow() === 'black hole after 150 bytes' && this.#passedBytes > 150) return
      if (!this.body.destroyed) this.body.push(frame)
    }
  }
}
