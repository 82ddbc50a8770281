/** Verdicts on a path from single observations: what makes one, what must not, and what ends it. */
import { DownlinkError, limits, type PathVerdict } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import type { StreamEnd } from '../stream/event-stream.ts'
import { pathEnded, pathFailed, pathFrame, pathOpened, pathPolled, UNKNOWN_PATH } from './path-machine.ts'

const HB = limits.HEARTBEAT_MS_DEFAULT
const LOST: StreamEnd = { reason: 'lost', error: new DownlinkError('connection_lost', '') }
const SILENT: StreamEnd = { reason: 'silent', error: new DownlinkError('stream_silent', '') }

/** A path whose streams are played by hand. */
function pathOf() {
  let state = UNKNOWN_PATH
  let nowMs = 0
  const run = {
    fail(code: string) {
      state = pathFailed(state, code)
      return run
    },
    poll(code?: string) {
      state = pathPolled(state, code)
      return run
    },
    open() {
      state = pathOpened(state, nowMs)
      return run
    },
    /** A heartbeat that the hub wrote at `writtenMs` comes `afterMs` from now. */
    beat(afterMs: number, writtenMs: number, lagMs?: number) {
      nowMs += afterMs
      const frame = { type: 'ping', comment: `hb n=1 t=${writtenMs}` } as const
      state = pathFrame(state, frame, { heartbeatMs: HB, lagMs, nowMs })
      return run
    },
    /** So many heartbeats, each on time. */
    beats(count: number) {
      for (let index = 0; index < count; index += 1) run.beat(HB, nowMs + HB)
      return run
    },
    end(end: StreamEnd, afterMs: number) {
      nowMs += afterMs
      state = pathEnded(state, end, nowMs)
      return run
    },
    verdict: (): PathVerdict => state.report.verdict,
    report: () => state.report,
  }
  return run
}

describe('given heartbeats', () => {
  test('when they come on time > the path is fine from the first on', () => {
    expect(pathOf().fail('connect_failed').open().beats(1).verdict()).toBe('ok')
  })

  test('when this process stood still, and reads many at once > that alone is no verdict', () => {
    const run = pathOf().open().beats(2)
    for (let late = 4; late >= 0; late -= 1) run.beat(late === 4 ? 5 * HB : 0, 7 * HB - late * HB)
    expect(run.verdict()).toBe('ok')
    expect(run.beats(3).verdict()).toBe('ok')
  })

  test('when they come in batches, again and again > they are buffered, even if the hub’s clock is not known', () => {
    const run = pathOf().open()
    for (let batch = 1; batch <= 3; batch += 1) {
      run.beat(2 * HB, (2 * batch - 1) * HB)
      run.beat(0, 2 * batch * HB)
    }
    expect(run.report()).toEqual({ verdict: 'body-buffered', lagMs: HB })
  })

  test('when each comes a period late by the hub’s clock > they are one behind, until they are not', () => {
    const run = pathOf().open()
    for (let beat = 0; beat < 3; beat += 1) run.beat(HB, beat * HB, HB)
    expect(run.report()).toEqual({ verdict: 'one-behind', lagMs: HB })
    for (let beat = 3; beat < 6; beat += 1) run.beat(HB, beat * HB, 20)
    expect(run.verdict()).toBe('ok')
  })

  test('when they come ever later > they are buffered', () => {
    const run = pathOf().open()
    for (let beat = 1; beat <= 4; beat += 1) run.beat(1.5 * HB, beat * HB, 0.5 * HB * beat + 1)
    expect(run.verdict()).toBe('body-buffered')
  })

  test('when they are late by less than harms > that is no verdict', () => {
    const run = pathOf().open()
    for (let beat = 1; beat <= 9; beat += 1) run.beat(HB, beat * HB, limits.LATE_LAG_HEARTBEATS * HB)
    expect(run.verdict()).toBe('ok')
  })
})

describe('given streams that end', () => {
  test('when nothing came down > the body is held back; when something had > it is stalled', () => {
    expect(pathOf().open().end(SILENT, 37_500).verdict()).toBe('body-buffered')
    expect(pathOf().open().beats(4).end(SILENT, 37_500).verdict()).toBe('stalled')
  })

  test('when each is cut after the same silence, longer than any outlived > idle connections are cut', () => {
    const run = pathOf()
    for (const idleMs of [12_000, 12_400, 11_900]) run.open().beat(5, 0).end(LOST, idleMs)
    expect(run.report()).toEqual({ verdict: 'cut-idle', idleMs: 11_900 })
    // It must outlive more than those did.
    expect(run.open().beats(1).verdict()).toBe('cut-idle')
    expect(run.beats(4).verdict()).toBe('ok')
  })

  test('when one is closed as soon as it is open, and nothing came > something closes what it does not know', () => {
    expect(
      pathOf()
        .open()
        .end({ reason: 'ended' }, limits.STREAM_EARLY_END_MS - 1)
        .verdict(),
    ).toBe('cut-early')
    expect(pathOf().open().end({ reason: 'ended' }, limits.STREAM_EARLY_END_MS).verdict()).toBe('unknown')
  })

  test('when each is cut soon after a heartbeat > streams are unstable, not idle', () => {
    const run = pathOf()
    for (let count = 0; count < 3; count += 1) run.open().beats(2).end(LOST, 5_000)
    expect(run.verdict()).toBe('unstable')
  })

  test('when a hub is restarted now and then > that is no verdict', () => {
    const run = pathOf()
    for (let count = 0; count < 5; count += 1) run.open().beats(60).end(LOST, 5_000)
    expect(run.verdict()).toBe('ok')
  })

  test('when they end as planned > that is no verdict', () => {
    const run = pathOf()
    for (let count = 0; count < 5; count += 1) {
      run.open().beats(5).end({ reason: 'ended' }, 5)
      run.open().beats(1).end({ reason: 'drained' }, 5)
    }
    expect(run.verdict()).toBe('ok')
  })
})

describe('given what comes before a stream', () => {
  test.each<[string, PathVerdict]>([
    ['dns_failed', 'dns'],
    ['stream_silent', 'silent'],
    ['timed_out', 'silent'],
    ['connection_lost', 'cut-early'],
    ['not_a_hub', 'login-page'],
    ['http_511', 'login-page'],
    ['reply_malformed', 'not-http'],
    ['reply_headers_too_large', 'limit'],
    ['too_many_interim_replies', 'limit'],
    ['proxy_failed', 'proxy-refused'],
    ['raw_bytes_exceeded', 'limit'],
    ['http_407', 'proxy-refused'],
    ['unauthorized', 'hub-refused'],
    ['constructor', 'hub-refused'],
  ])('when a try fails as %s > the verdict is %s', (code, verdict) => {
    expect(pathOf().fail(code).verdict()).toBe(verdict)
  })

  test('when this end gave up > it says nothing of the path', () => {
    for (const code of ['stood_still', 'client_closed', 'no_credential'])
      expect(pathOf().fail('tls_failed').fail(code).verdict(), code).toBe('tls')
  })

  test('when wake reaches nobody, and then somebody > that is said, and taken back', () => {
    const run = pathOf().fail('stream_silent').poll('connect_failed')
    expect(run.verdict()).toBe('refused')
    expect(run.poll().verdict()).toBe('unknown')
    expect(run.fail('stream_silent').poll('http_503').poll().verdict(), 'of streams it says nothing').toBe(
      'silent',
    )
  })
})
