import { limits } from '@downlink/protocol'
import type { Clock } from '@downlink/protocol'
import { describe, expect, it } from 'vitest'
import { createProcessGroup, factsToJson, parseFacts } from './process-group.ts'
import type { ProcessFacts, ProcessGroup } from './process-group.ts'
import type { ProcessRow } from './process-table.ts'

const FACTS: ProcessFacts = { pid: 500, startTime: '77', bootId: 'boot', mark: 'm' }
const row = (pid: number, more: Partial<ProcessRow> = {}): ProcessRow => ({
  pid,
  parentPid: 400,
  pgrp: 500,
  session: 500,
  state: 'S',
  threads: 1,
  startTime: pid === 500 ? '77' : '80',
  ...more,
})

/** A machine with `rows`; time passes only by timers. */
function machine(rows: ProcessRow[], options: { marked?: number; isOwn?: boolean; obeys?: boolean } = {}) {
  let nowMs = 0
  const signals: string[] = []
  const clock: Clock = {
    wallMs: () => 0,
    monotonicMs: () => nowMs,
    setTimer: (delayMs, callback) => {
      nowMs += delayMs
      setImmediate(callback)
      return { cancel: () => {} }
    },
  }
  const group: ProcessGroup = createProcessGroup({
    facts: FACTS,
    isOwn: options.isOwn ?? false,
    clock,
    table: {
      bootId: async () => 'boot',
      find: async (pid) => rows.find((candidate) => candidate.pid === pid),
      list: async () => [...rows],
      hasVariable: async (pid) => pid === options.marked,
    },
    kill(pid, signal) {
      signals.push(`${signal} ${pid}`)
      const change = (update: (candidate: ProcessRow) => ProcessRow | undefined): void => {
        rows.splice(
          0,
          rows.length,
          ...rows.flatMap((candidate) => (candidate.pgrp === -pid ? (update(candidate) ?? []) : candidate)),
        )
      }
      if (pid > 0) {
        // A child that goes on after vfork lets its parent go on, which then sees its SIGSTOP.
        const parentPid = rows.find((candidate) => candidate.pid === pid)?.parentPid
        rows.forEach((candidate, i) => {
          if (candidate.pid === pid) rows[i] = { ...candidate, state: 'R' }
          if (candidate.pid === parentPid) rows[i] = { ...candidate, state: 'T' }
        })
        return
      }
      if (signal === 'SIGKILL' || (signal === 'SIGTERM' && options.obeys !== false)) change(() => undefined)
      if (signal === 'SIGSTOP' && options.obeys !== false)
        change((candidate) => (candidate.state === 'D' ? candidate : { ...candidate, state: 'T' }))
      if (signal === 'SIGCONT') change((candidate) => ({ ...candidate, state: 'S' }))
    },
  })
  return { group, signals, rows, nowMs: () => nowMs }
}

describe('given the facts of a process group', () => {
  it.each([
    ['another start time', [row(500, { startTime: '78' }), row(501)]],
    ['a stranger with the same group in another session', [row(501, { session: 9 })]],
    ['a session whose first process has gone, without the mark', [row(501), row(502)]],
    ['only a zombie', [row(500, { state: 'Z' })]],
  ])('%s > nothing is signalled, and it counts as gone', async (_what, rows) => {
    const { group, signals } = machine(rows)
    await group.end(10)
    await group.stop(() => true)
    await group.resume()
    expect(signals, 'never signal what is not certain').toEqual([])
    expect(await group.countAlive(), 'count nothing').toBe(0)
  })

  it('another boot > nothing is signalled', async () => {
    const { signals } = machine([row(500)])
    const other = createProcessGroup({
      facts: { ...FACTS, bootId: 'earlier' },
      isOwn: false,
      clock: { wallMs: () => 0, monotonicMs: () => 0, setTimer: () => ({ cancel: () => {} }) },
      table: {
        bootId: async () => 'boot',
        find: async () => row(500),
        list: async () => [row(500)],
        hasVariable: async () => true,
      },
      kill: () => signals.push('signal'),
    })
    await other.end(10)
    expect(signals, 'a pid means nothing after a boot').toEqual([])
  })

  it('the first process gone, but one with the mark left > the whole session is ended', async () => {
    const { group, signals } = machine([row(501), row(502)], { marked: 502 })
    await group.end(10)
    expect(signals, 'end what the mark proves').toEqual(['SIGTERM -500', 'SIGCONT -500'])
  })

  it('a child in a group of its own > is stopped and ended too', async () => {
    const { group, signals } = machine([row(500), row(501, { pgrp: 501 })])
    await group.stop(() => true)
    expect(signals, 'stop every group of the session').toEqual(['SIGSTOP -500', 'SIGSTOP -501'])
    await group.end(10)
    expect(signals.slice(2).sort(), 'end every group of the session').toEqual([
      'SIGCONT -500',
      'SIGCONT -501',
      'SIGTERM -500',
      'SIGTERM -501',
    ])
  })

  it('a child stopped between vfork and exec > goes on for a moment, so that its parent can stop', async () => {
    const { group, signals } = machine([row(500, { state: 'D' }), row(501, { parentPid: 500 })])
    await group.stop(() => true)
    expect(signals, 'continue that child alone, then stop the group again').toEqual([
      'SIGSTOP -500',
      'SIGCONT 501',
      'SIGSTOP -500',
    ])
  })

  it('processes that do not stand still > the pause fails within its bound, and they go on', async () => {
    const { group, signals, nowMs } = machine([row(500), row(501, { state: 'D' })], { obeys: false })
    await expect(
      group.stop(() => true),
      'fail, and name the remedy',
    ).rejects.toMatchObject({
      code: 'pause_failed',
      message: expect.stringContaining('cancel the task'),
    })
    expect(signals.at(-1), 'leave nothing half stopped').toBe('SIGCONT -500')
    expect(nowMs(), 'give up after the bound').toBeLessThan(2 * limits.PAUSE_MS_MAX)
  })

  it('a resume that comes before all stand still > the pause gives up at once', async () => {
    const { group, signals } = machine([row(500)], { obeys: false })
    await expect(
      group.stop(() => false),
      'say that it was overtaken',
    ).rejects.toMatchObject({ code: 'pause_failed' })
    expect(signals, 'leave the rest to whoever came later').toEqual([])
  })

  it('processes that ignore SIGTERM > are killed after the grace', async () => {
    const { group, signals, rows } = machine([row(500), row(501)], { obeys: false })
    let told = 0
    await group.end(1_000, () => told++)
    expect(signals, 'tell once, then kill').toEqual(['SIGTERM -500', 'SIGCONT -500', 'SIGKILL -500'])
    expect([told, rows.length], 'tell the caller once, leave nothing').toEqual([1, 0])
  })

  it('once gone > it stays gone, whoever has the number next', async () => {
    const { group, signals, rows } = machine([row(500)])
    await group.end(10)
    const before = signals.length
    rows.push(row(500), row(501))
    await group.end(10)
    expect(signals.length, 'signal nobody again').toBe(before)
  })
})

describe('given facts from the journal', () => {
  it('what was kept > is read back', () => {
    expect(parseFacts(factsToJson(FACTS)), 'read what was written').toEqual(FACTS)
  })

  it.each([
    null,
    'text',
    {},
    { ...(factsToJson(FACTS) as object), pid: 0 },
    { ...(factsToJson(FACTS) as object), pid: 1 },
    { ...(factsToJson(FACTS) as object), pid: -1 },
    { ...(factsToJson(FACTS) as object), pid: 1.5 },
    { ...(factsToJson(FACTS) as object), pid: '500' },
    { ...(factsToJson(FACTS) as object), startTime: '' },
    { ...(factsToJson(FACTS) as object), bootId: 7 },
  ])('%j > is none', (json) => {
    expect(parseFacts(json), 'refuse facts that name no process').toBeUndefined()
  })
})
