/** Events and status: what an application and a person are told. */
import { BoundedLogger, silentLogger, type Logger } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { turn } from '../test/fakes.ts'
import { AgentEvents } from './agent-events.ts'
import { StatusBoard, type AgentWork } from './agent-status.ts'
import type { AgentStatus } from './options.ts'
import { createTestClock } from './testing/test-clock.ts'

const upgrade = { type: 'upgrade', version: '2' } as const

const HUB = new URL('http://127.0.0.1')

describe('given listeners', () => {
  test('when one throws or rejects > it is logged, and the others are called', async () => {
    const logged: string[] = []
    const logger: Logger = { ...silentLogger, error: (_, message) => void logged.push(message) }
    const events = new AgentEvents(new BoundedLogger(logger, createTestClock()))
    const heard: string[] = []
    events.on('upgrade', () => Promise.reject(new Error('late')) as never, undefined)
    events.on(
      'upgrade',
      () => {
        throw new Error('at once')
      },
      undefined,
    )
    events.on('upgrade', ({ version }) => void heard.push(version), undefined)
    events.emit(upgrade)
    await turn()
    expect([heard, logged.length]).toEqual([['2'], 2])
  })

  test('when one is disposed or its signal aborts > it hears nothing more', () => {
    const events = new AgentEvents(new BoundedLogger(silentLogger, createTestClock()))
    const heard: string[] = []
    const controller = new AbortController()
    const first = events.on('upgrade', () => void heard.push('first'), undefined)
    events.on('upgrade', () => void heard.push('second'), controller.signal)
    events.on('upgrade', () => void heard.push('third'), AbortSignal.abort())
    events.on('status', () => void heard.push('status'), undefined)
    events.emit(upgrade)
    first[Symbol.dispose]()
    controller.abort()
    events.emit(upgrade)
    expect(heard).toEqual(['first', 'second'])
  })

  test('when the logger throws > nobody is harmed', () => {
    const broken = (): never => {
      throw new Error('no disk for logs')
    }
    const events = new AgentEvents(
      new BoundedLogger({ debug: broken, info: broken, warn: broken, error: broken }, createTestClock()),
    )
    expect(() => events.log('error', {}, 'x')).not.toThrow()
  })
})

const WORK: AgentWork = {
  openControls: 0,
  unreportedOutcomes: 0,
  tasks: { queued: 0, running: 0, paused: 0, cancelled: 0, completed: 0, failed: 0 },
  journal: 'ok',
}

describe('given a status board', () => {
  const clock = createTestClock()
  const boardOf = (hub: () => URL, onChange: (status: AgentStatus) => void): StatusBoard =>
    new StatusBoard({ clock, hub, work: () => WORK, onChange })
  const failure = { code: 'unauthorized', message: 'no', retry: 'never' } as const
  type ConnectionStatus = Parameters<StatusBoard['connection']>[0]
  // The board reads no more of it.
  const connection = (
    name: 'connecting' | 'open' | 'waiting',
    failed?: typeof failure,
    poll: ConnectionStatus['poll'] = 'off',
  ): ConnectionStatus => ({
    name,
    poll,
    path: { verdict: 'unknown' },
    failureCount: 0,
    ...(failed === undefined ? {} : { failure: failed }),
  })

  test('when long-polling stands in for the stream > that is said, until the stream has proved itself', () => {
    const told: string[] = []
    const board = boardOf(
      () => HUB,
      ({ downlink }) => void told.push(downlink),
    )
    board.connection(connection('waiting', undefined, 'starting'))
    board.connection(connection('waiting', undefined, 'working'))
    board.connection(connection('open', undefined, 'working'))
    board.connection(connection('open'))
    expect(told).toEqual(['long-poll', 'sse'])
  })

  test('when another mirror is in use > that is told', () => {
    const told: string[] = []
    let hub = HUB
    const board = boardOf(
      () => hub,
      (status) => void told.push(status.hub.host),
    )
    hub = new URL('https://mirror.example')
    board.syncAnswered()
    board.syncAnswered()
    expect(told).toEqual(['mirror.example'])
  })

  test('when the connection and the syncs come and go > each change is told once', () => {
    const told: string[] = []
    const board = boardOf(
      () => HUB,
      ({ standing, downlink }) => {
        told.push(`${standing} ${downlink}`)
      },
    )
    board.connection(connection('connecting'))
    board.syncAnswered()
    board.connection(connection('open'))
    board.syncAnswered()
    board.connection(connection('waiting', failure))
    board.syncFailed()
    board.connection(connection('open'))
    expect(told).toEqual(['ok timer', 'ok sse', 'ok timer', 'ok offline', 'ok sse'])
  })

  test('when the standing changes > each is told with its code and a remedy', () => {
    const told: AgentStatus[] = []
    const board = boardOf(
      () => HUB,
      (status) => void told.push(status),
    )
    const suspected = { name: 'suspected', code: 'agent_revoked', sinceMs: 0, mirror: HUB.href } as const
    board.standing({ name: 'blocked', code: 'agent_hash_taken', call: 'sync' })
    board.standing({ name: 'blocked', code: 'agent_hash_taken', call: 'events' })
    board.journal(false)
    board.standing(suspected)
    board.standing({ name: 'revoked', code: 'agent_revoked' })
    expect(told.map(({ standing, code }) => [standing, code])).toEqual([
      ['blocked', 'agent_hash_taken'],
      ['blocked', 'agent_revoked'],
      ['revoked', 'agent_revoked'],
    ])
    for (const { remedy } of told) expect(remedy, 'say what a person can do').toMatch(/\w{3}.*\.$/)
  })

  test('when the journal cannot be written > it says so, and that it can again', () => {
    const told: AgentStatus[] = []
    const board = boardOf(
      () => HUB,
      (status) => void told.push(status),
    )
    board.journal(false)
    board.syncAnswered()
    expect(board.status).toMatchObject({
      standing: 'blocked',
      remedy: expect.stringMatching(/disk space/) as unknown,
    })
    board.journal(true)
    expect(board.status.standing).toBe('ok')
    expect(board.status.remedy).toBeUndefined()
    expect(told).toHaveLength(3)
  })

  test('as time goes by > it says since when, and when the hub last answered', () => {
    const board = boardOf(
      () => HUB,
      () => undefined,
    )
    const startMs = clock.wallMs()
    clock.advance(5_000)
    board.roundTrip(12)
    board.syncAnswered()
    clock.advance(60_000)
    board.syncAnswered()
    expect(board.status.sinceMs, 'only a change begins it anew').toBe(startMs + 5_000)
    expect(board.status.lastSync).toEqual({ atMs: startMs + 5_000, roundTripMs: 12 })
    board.journal(false)
    expect(board.status).toMatchObject({ journal: 'failing', sinceMs: startMs + 65_000 })
  })
})
