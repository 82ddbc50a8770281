import { DownlinkError, limits, type DownlinkEvent } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import type { ConnectionAction, ConnectionEvent, ConnectionState } from './connection-state.ts'
import { initialConnection } from './connection-state.ts'
import { connectionStep } from './machine.ts'

const FAILURE = { code: 'connect_failed', message: 'refused', retry: 'backoff' } as const
const BLOCKED = { code: 'agent_revoked', message: 'revoked', retry: 'never' } as const
const LOST = { reason: 'lost', error: new DownlinkError('connection_lost', 'lost') } as const
const SYNC: DownlinkEvent = { type: 'sync', reason: 'wake' }
const PING: DownlinkEvent = { type: 'ping', comment: 'hb' }

/** Plays `events`, each `[atMs, event]`; returns the last step's actions by type. */
function play(events: readonly (readonly [number, ConnectionEvent])[], random = 0.5) {
  let state: ConnectionState = initialConnection('auto')
  let actions: readonly ConnectionAction[] = []
  for (const [nowMs, event] of events) ({ state, actions } = connectionStep(state, event, { nowMs, random }))
  const of = <T extends ConnectionAction['type']>(type: T) =>
    actions.filter((action): action is Extract<ConnectionAction, { type: T }> => action.type === type)
  return {
    state,
    types: actions.map(({ type }) => type),
    delayMs: of('setTimer')[0]?.delayMs,
    syncs: of('sync').map(({ reason }) => reason),
    delaysMs: of('sync').map(({ delayMs = 0 }) => delayMs),
    status: of('report')[0]?.status,
  }
}

const started = [0, { type: 'started' }] as const
const opened = [0, { type: 'opened' }] as const
const timer = [0, { type: 'timer' }] as const
const failed = [0, { type: 'failed', failure: FAILURE }] as const
const ended = (atMs: number) => [atMs, { type: 'ended', end: { reason: 'ended' } }] as const
const lost = (atMs: number) => [atMs, { type: 'ended', end: LOST }] as const
const frame = (event: DownlinkEvent, atMs = 0) => [atMs, { type: 'frame', frame: event }] as const

describe('given a connection that is to be', () => {
  test('when it starts > it dials at once', () => {
    expect(play([started]).types).toEqual(['report', 'dial'])
  })

  test('when a stream opens, the first time or again > it fetches', () => {
    expect(play([started, opened]).syncs).toEqual(['stream opened'])
    expect(play([started, opened, lost(5_000), timer, opened]).syncs).toEqual(['stream opened'])
  })

  test('when the stream says sync > it fetches, with the reason', () => {
    expect(play([started, opened, frame(SYNC)]).syncs).toEqual(['wake'])
    expect(play([started, opened, frame({ type: 'sync', reason: '' })]).syncs).toEqual(['sync event'])
    expect(play([started, opened, frame(PING)]).syncs).toEqual([])
  })

  test('when nudges come in a flood > they lead to no more syncs than their rate, and none is left without one (R-50)', () => {
    const due: number[] = []
    const nudges = Array.from({ length: 1_000 }, (_, atMs) => frame(SYNC, atMs))
    nudges.forEach(([atMs], last) => {
      const { delaysMs } = play([started, opened, ...nudges.slice(0, last + 1)])
      due.push(...delaysMs.map((delayMs) => atMs + delayMs))
      expect(
        due.some((dueMs) => dueMs >= atMs),
        `nothing follows the nudge at ${atMs} ms`,
      ).toBe(true)
    })
    expect(due.slice(0, limits.NUDGES_BURST), 'after a rest none waits').toEqual(
      Array.from({ length: limits.NUDGES_BURST }, (_, atMs) => atMs),
    )
    expect(due.length).toBeGreaterThan(limits.NUDGES_BURST)
    expect(due.length).toBeLessThanOrEqual(limits.NUDGES_BURST + limits.NUDGES_PER_S_MAX)
  })

  test('when one stream after the other nudges > they share one rate', () => {
    const nudges = Array.from({ length: limits.NUDGES_BURST }, () => frame(SYNC))
    const again = [lost(0), timer, opened, frame(SYNC)] as const
    expect(play([started, opened, ...nudges]).delaysMs).toEqual([0])
    expect(play([started, opened, ...nudges, ...again]).delaysMs).toEqual([1_000 / limits.NUDGES_PER_S_MAX])
  })

  test('when it stops, in any state > nothing is done any more', () => {
    for (const before of [[], [started], [started, opened], [started, failed]]) {
      const after = play([...before, [0, { type: 'stop' }], timer, opened, started])
      expect(after.state.name).toBe('stopped')
      expect(after.types).toEqual([])
    }
  })
})

describe('given failures', () => {
  test('when tries fail in a row > the wait grows', () => {
    const delays = [1, 2, 3].map(
      (count) =>
        play([
          started,
          ...Array.from({ length: count }, () => [failed, timer])
            .flat()
            .slice(0, -1),
        ]).delayMs,
    )
    expect(delays).toEqual([250, 500, 1_000])
  })

  test('when a stream was open but not proven > the wait goes on growing', () => {
    const step = play([started, failed, timer, failed, timer, opened, lost(limits.STREAM_PROVEN_MS - 1)])
    expect([step.state.failureCount, step.delayMs]).toEqual([3, 1_000])
  })

  test('when a stream was proven > earlier failures are forgotten', () => {
    const step = play([started, failed, timer, failed, timer, opened, lost(limits.STREAM_PROVEN_MS)])
    expect([step.state.failureCount, step.delayMs]).toEqual([1, 250])
  })

  test('when a server asks to wait > the wait is not shorter', () => {
    expect(play([started, [0, { ...failed[1], retryAfterMs: 9_000 }]], 0).delayMs).toBe(9_000)
    const heard = [9_000, { type: 'ended', end: LOST, retryMs: 2_000 }] as const
    expect(play([started, opened, heard], 0).delayMs).toBe(2_000)
    expect(play([started, opened, heard, timer, failed], 0).delayMs).toBe(2_000)
  })

  test('when only a person can help > it goes on at the longest pace and says so', () => {
    const step = play([started, [0, { type: 'failed', failure: BLOCKED }]], 0)
    expect(step.delayMs).toBe(limits.RECONNECT_MS_MAX)
    expect(step.status).toMatchObject({ name: 'waiting', failure: { code: 'agent_revoked' } })
    const revoked = { reason: 'revoked', error: new DownlinkError('agent_revoked', 'gone') } as const
    expect(play([started, opened, [9_000, { type: 'ended', end: revoked }]], 0).delayMs).toBe(60_000)
  })

  test('when a stream ends at once without an event > that is a failure', () => {
    const step = play([started, opened, frame(PING), ended(limits.STREAM_EARLY_END_MS - 1)])
    expect(step.status).toMatchObject({ failureCount: 1, failure: { code: 'stream_ended_early' } })
  })
})

describe('given a planned end', () => {
  test('when the server ended the stream > it comes back soon and counts no failure', () => {
    const step = play([started, failed, timer, opened, ended(limits.STREAM_EARLY_END_MS)])
    expect([step.state.failureCount, step.delayMs, step.status?.failure]).toEqual([1, 250, undefined])
  })

  test('when the server gave a slot > it comes back then', () => {
    const drain = frame({ type: 'drain', reconnectAfterMs: 7_000 })
    const end = [5_000, { type: 'ended', end: { reason: 'drained' } }] as const
    expect(play([started, opened, drain, end], 0).delayMs).toBe(7_000)
  })

  test('when streams end as soon as they open, with an event > it is not dialled in a tight loop', () => {
    expect(play([started, opened, frame(SYNC), ended(0)], 0).delayMs).toBe(limits.RECONNECT_MS_MIN)
  })
})
