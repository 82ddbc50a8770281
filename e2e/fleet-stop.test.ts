/** A hub is asked to end under 2,000 agents, originals among them, and starts again: all are back in their window, in no herd, and each control issued meanwhile is decided once. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setInterval } from 'node:timers/promises'
import { limits } from '@downlink/protocol'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { finalStates, press, type HubAddress, type Issued } from '../packages/testkit/src/kills/operator.ts'
import { startDownlink, type DownlinkProcess } from './downlink-process.ts'
import { expectNoHerd, Fleet, spreadText, type Arrival } from './fleet.ts'

const OURS = [600, 550, 550]
const ORIGINALS = 300
const AGENTS = OURS.reduce((sum, count) => sum + count, ORIGINALS)
const ACCEPT_PER_S = 500
/** As the hub advertises it. */
const WINDOW_MS = (2_000 * AGENTS) / ACCEPT_PER_S
const BACK_MS_MAX = WINDOW_MS + limits.SLOT_GRACE_MS
/** Over which streams end, as the window is longer. */
const DRAIN_MS = limits.DRAIN_SPREAD_MS_DEFAULT
/** Longer than this hub needs to start on a busy machine: before that its agents stay away. */
const RESTART_MS = 4_000
/** Between two controls, ms. */
const PRESS_MS = 100
/** From one agent to the next that gets a control: prime, so that all kinds and processes have their turn, and none a second one. */
const PRESS_STRIDE = 701

let folder: string
let hub: DownlinkProcess
let fleet: Fleet
const address: HubAddress = { url: '', token: '' }

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'downlink-fleet-stop-'))
  await startHub()
  fleet = await Fleet.start(address, { ours: OURS, originals: ORIGINALS }, WINDOW_MS)
})
afterAll(async () => {
  await Promise.all([hub.stop('SIGKILL'), fleet[Symbol.asyncDispose]()])
  await rm(folder, { recursive: true, force: true })
})

/** On the same data and, from the second time on, the same port. */
async function startHub(): Promise<void> {
  const port = address.url === '' ? '0' : new URL(address.url).port
  const flags = ['--accept-rate', String(ACCEPT_PER_S), '--heartbeat', '4s', '--restart', `${RESTART_MS}ms`]
  hub = startDownlink(folder, ['hub', '--port', port, ...flags])
  await hub.prints('operator token')
  const [, url = ''] = /hub +(http:\/\/127\.0\.0\.1:\d+)/.exec(hub.text()) ?? []
  const token = await readFile(join(folder, '.downlink', 'operator-token'), 'utf8')
  Object.assign(address, { url, token: token.trim() })
}

/** A control that was acknowledged. */
interface Pressed extends Issued {
  readonly agentId: string
  readonly acknowledgedMs: number
}

/** Pauses a task of one agent after the other, each once, whether the hub is there or not, until `signal` aborts; resolves once all are acknowledged. */
async function pressAll(agentIds: readonly string[], signal: AbortSignal): Promise<readonly Pressed[]> {
  const pressing: Promise<Pressed>[] = []
  const pressOne = async (agentId: string, number: number): Promise<Pressed> => {
    const issued = await press(address, agentId, { number, taskId: `t${number}`, body: { action: 'pause' } })
    if (issued === undefined)
      throw new Error(`A control of ${agentId} was refused. Ask the hub for its reason.`)
    return { ...issued, agentId, acknowledgedMs: Date.now() }
  }
  for await (const _ of setInterval(PRESS_MS)) {
    const number = pressing.length
    const agentId = agentIds[(number * PRESS_STRIDE) % agentIds.length]
    if (signal.aborted || agentId === undefined || number === agentIds.length) break
    pressing.push(pressOne(agentId, number))
  }
  return Promise.all(pressing)
}

/** Resolves once all agents are back. */
async function endAndStart(): Promise<{ endedMs: number; upMs: number; arrivals: readonly Arrival[] }> {
  hub.child.kill('SIGTERM')
  expect(await hub.ended, 'the hub did not end well').toBe(0)
  const endedMs = Date.now()
  await startHub()
  const upMs = Date.now()
  return { endedMs, upMs, arrivals: await fleet.back(3 * BACK_MS_MAX) }
}

test(`given ${AGENTS - ORIGINALS} agents and ${ORIGINALS} originals > when the hub is asked to end and starts again > they come in no herd, and what was issued meanwhile is decided once (R-15)`, async ({
  annotate,
}) => {
  const note = (figures: string): void => void annotate(figures)
  const allBack = new AbortController()
  const issuing = pressAll([...fleet.ours, ...fleet.originals], allBack.signal)
  const stopping = endAndStart().finally(() => allBack.abort())
  const [pressed, { endedMs, upMs, arrivals }] = await Promise.all([issuing, stopping])
  expect(pressed, 'no control was issued meanwhile').not.toHaveLength(0)

  const ours = arrivals.filter(({ isOurs }) => isOurs)
  const originals = arrivals.filter(({ isOurs }) => !isOurs)
  const lastMs = Math.max(...arrivals.map(({ dialMs }) => dialMs)) - upMs
  note(
    `up again after ${upMs - endedMs} ms; the last dialled ${Math.round(lastMs)} ms after that, the window is ${WINDOW_MS} ms`,
  )
  expect(lastMs, 'an agent came too late').toBeLessThanOrEqual(BACK_MS_MAX)
  const firstOf = (those: readonly Arrival[]): readonly number[] =>
    those.map(({ firstDialMs }) => firstDialMs)
  expectNoHerd(firstOf(ours), WINDOW_MS, 'ours, as they were told to come', note)
  expectNoHerd(firstOf(originals), DRAIN_MS, 'originals, as they were sent away', note)
  const dialsMs = arrivals.map(({ dialMs }) => dialMs)
  // A hub that is later than it announced finds those together whom their closed port refused.
  if (upMs - endedMs <= RESTART_MS) expectNoHerd(dialsMs, WINDOW_MS, 'all, at the hub that started', note)
  else note(spreadText(dialsMs, WINDOW_MS, 'all, at a hub that started too late'))

  await expectDecidedOnce(pressed, arrivals)
  note(`${pressed.length} controls were acknowledged between the signal and the last agent's return`)
})

/** Once, and not later than its agent's slot lets it; originals are told until they show it, so once at least. */
async function expectDecidedOnce(pressed: readonly Pressed[], arrivals: readonly Arrival[]): Promise<void> {
  const openedMs = new Map(arrivals.map((arrival) => [arrival.agentId, arrival.openedMs]))
  const ours = new Set(fleet.ours)
  const settled = await finalStates(
    address,
    pressed.filter(({ agentId }) => ours.has(agentId)),
  )
  for (const { controlId, final } of settled)
    expect(final, controlId).toEqual({
      outcome: { state: 'applied', confirmedBy: 'agent' },
      mayHaveApplied: false,
    })
  const timesMs = await vi.waitFor(
    async () => {
      const found = Map.groupBy(await fleet.applied(), ({ taskId }) => taskId)
      for (const { taskId, agentId } of pressed)
        expect(found.has(taskId), `${agentId} was not told to pause ${taskId}`).toBe(true)
      return found
    },
    { timeout: BACK_MS_MAX, interval: 250 },
  )
  for (const { taskId, agentId, acknowledgedMs } of pressed) {
    const times = timesMs.get(taskId) ?? []
    if (ours.has(agentId)) expect(times, `${agentId} paused ${taskId} more than once`).toHaveLength(1)
    const dueMs = Math.max(acknowledgedMs, openedMs.get(agentId) ?? Infinity)
    expect((times[0]?.atMs ?? Infinity) - dueMs, `${agentId} paused ${taskId} late`).toBeLessThan(
      limits.SLOT_GRACE_MS,
    )
  }
}
