/** Three hundred agents, and originals among them, after the hub was killed, through a restart and through a change of hubs: no herd, and no control is lost. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { limits, type AgentRecord, type ControlRecord, type Page } from '@downlink/protocol'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { ask, type HubAddress } from '../packages/testkit/src/kills/operator.ts'
import { startFixture, type FixtureProcess } from './fleet-process.ts'

const OURS = 260
const ORIGINALS = 40
const AGENTS = OURS + ORIGINALS
/** So that the window of this fleet is that of 6,000 agents at an ordinary hub. */
const ACCEPT_PER_S = 50
const WINDOW_MS = (2_000 * AGENTS) / ACCEPT_PER_S
/** All are to be back so long after a hub is there. */
const BACK_MS_MAX = WINDOW_MS + limits.SLOT_GRACE_MS
const SLOT_MS = 1_000

interface Arrival {
  readonly agentId: string
  readonly atMs: number
  readonly isOurs: boolean
}

let folder: string
let hub: FixtureProcess
const address: HubAddress = { url: '', token: '' }
const fleets: FixtureProcess[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'downlink-fleet-'))
  await startHub()
  const { json } = await ask(address, 'POST', 'api/v1/enrollment-keys', { uses: AGENTS })
  const { key } = json as { key: string }
  fleets.push(
    startFixture('fleet-agents.ts', [address.url, key, 'a', OURS / 2]),
    startFixture('fleet-agents.ts', [address.url, key, 'b', OURS / 2]),
    startFixture('original-fleet.js', [address.url, key, 'o', ORIGINALS]),
  )
  await Promise.all(fleets.map((fleet) => fleet.next()))
  await all('streaming for the first time')
})
afterAll(async () => {
  await Promise.all([hub, ...fleets].map((process) => process.kill()))
  await rm(folder, { recursive: true, force: true })
})

/** On the same data and, from the second time on, the same port. */
async function startHub(): Promise<void> {
  const port = address.url === '' ? 0 : Number(new URL(address.url).port)
  hub = startFixture('fleet-hub.ts', [folder, port, ACCEPT_PER_S])
  Object.assign(address, await hub.next())
}

/** The arrivals since they were last forgotten, once every agent's stream is open. */
function all(what: string): Promise<readonly Arrival[]> {
  return vi.waitFor(
    async () => {
      hub.tell('arrivals')
      const { arrivals, open } = (await hub.next()) as { arrivals: readonly Arrival[]; open: number }
      const back = new Set(arrivals.map(({ agentId }) => agentId)).size
      if (back === AGENTS && open === AGENTS) return arrivals
      throw new Error(
        `Of ${AGENTS} agents ${back} came, and ${open} are ${what}. Look for why the others do not dial.`,
      )
    },
    { timeout: 3 * BACK_MS_MAX, interval: 250 },
  )
}

/**
 * Every agent of ours has echoed a heartbeat of this hub. All get the same ones, so that with the last to open they all
 * have heard the window of the whole fleet.
 */
async function settled(): Promise<void> {
  await vi.waitFor(
    async () => {
      const { json } = await ask(address, 'GET', 'api/v1/agents?limit=500')
      const waiting = (json as Page<AgentRecord>).items.filter(
        ({ acknowledges, roundTripMs }) => acknowledges === true && roundTripMs === undefined,
      )
      if (waiting.length === 0) return
      await Promise.all(waiting.map(({ agentId }) => ask(address, 'POST', `api/v1/agents/${agentId}/sync`)))
      throw new Error(`${waiting.length} agents have echoed no heartbeat. Look at whether it reaches them.`)
    },
    { timeout: 3 * BACK_MS_MAX, interval: 500 },
  )
  hub.tell('forget')
  await hub.next()
}

/** The last arrival of each, as ms since the first one, sorted. */
function lastOf(arrivals: readonly Arrival[]): readonly number[] {
  const last = new Map(arrivals.map(({ agentId, atMs }) => [agentId, atMs]))
  return [...last.values()].sort((a, b) => a - b)
}

/** Arrivals in slots of a second between the first and the last percentile. */
function spreadOf(arrivals: readonly Arrival[]): { peak: number; mean: number; slots: number } {
  const sorted = lastOf(arrivals)
  const inner = sorted.slice(Math.floor(sorted.length * 0.01), Math.ceil(sorted.length * 0.99))
  const [fromMs = 0] = inner
  const counts: number[] = []
  for (const atMs of inner) {
    const slot = Math.floor((atMs - fromMs) / SLOT_MS)
    counts[slot] = (counts[slot] ?? 0) + 1
  }
  const seconds = Math.max(1, ((inner.at(-1) ?? 0) - fromMs) / SLOT_MS)
  return { peak: Math.max(...Object.values(counts)), mean: inner.length / seconds, slots: counts.length }
}

const AWAY = ['a0', 'a40', 'a80', 'a120', 'b1', 'b41', 'b81', 'b121']
/** Issues a control to some agents, whether they are there or not; resolves once all of them are settled. */
async function controlsApply(name: string): Promise<readonly ControlRecord[]> {
  return Promise.all(
    AWAY.map(async (agentId) => {
      const body = { action: 'pause', taskId: name }
      const made = await ask(address, 'POST', `api/v1/agents/${agentId}/controls`, body)
      if (made.status !== 201) throw new Error(`The control was refused: ${JSON.stringify(made.json)}`)
      const { controlId } = made.json as ControlRecord
      for (;;) {
        const path = `api/v1/controls/${encodeURIComponent(controlId)}?wait=10s&until=applied`
        const control = (await ask(address, 'GET', path)).json as ControlRecord
        if (control.outcome.state !== 'pending' && control.outcome.state !== 'delivered') return control
      }
    }),
  )
}

/** Fails if a second holds more than twice the mean. */
function expectNoHerd(arrivals: readonly Arrival[], note: (figures: string) => void, what: string): void {
  const { peak, mean, slots } = spreadOf(arrivals)
  const figures = `${what}: peak ${peak}, mean ${mean.toFixed(1)}, ratio ${(peak / mean).toFixed(2)} in ${slots} slots`
  note(figures)
  expect(peak, `Agents came as a herd. ${figures}`).toBeLessThanOrEqual(2 * mean)
}

describe(`given ${OURS} agents and ${ORIGINALS} originals`, () => {
  test('when the hub is killed > all are back within the window, in no herd, and what was issued meanwhile is applied', async ({
    annotate,
  }) => {
    await settled()
    const killedMs = Date.now()
    await hub.kill()
    await startHub()
    const upMs = Date.now()
    const controls = controlsApply('killed')
    const arrivals = await all('back after the kill')
    const ours = arrivals.filter(({ isOurs }) => isOurs)
    const lastMs = (lastOf(ours).at(-1) ?? 0) - upMs
    await annotate(`up again after ${upMs - killedMs} ms; the last of ours back ${lastMs} ms after that`)
    expect(lastMs, 'an agent came too late').toBeLessThanOrEqual(BACK_MS_MAX)
    expectNoHerd(ours, (figures) => void annotate(figures), 'after a kill')
    for (const { outcome } of await controls)
      expect(outcome).toEqual({ state: 'applied', confirmedBy: 'agent' })
  })

  test('when it drains and starts again > they come behind the restart, in no herd, and what was issued meanwhile is applied', async ({
    annotate,
  }) => {
    await settled()
    hub.tell('drain 4000')
    const controls = controlsApply('drained')
    await hub.ended
    await startHub()
    const upMs = Date.now()
    const arrivals = await all('back after the drain')
    const ours = arrivals.filter(({ isOurs }) => isOurs)
    const lastMs = (lastOf(ours).at(-1) ?? 0) - upMs
    await annotate(`the last of ours back ${lastMs} ms after the hub`)
    expect(lastMs, 'an agent came too late').toBeLessThanOrEqual(BACK_MS_MAX)
    expectNoHerd(ours, (figures) => void annotate(figures), 'after a drain')
    for (const { outcome } of await controls)
      expect(outcome).toEqual({ state: 'applied', confirmedBy: 'agent' })
  })

  test('when another hub takes over > originals, too, move in no herd, and what is issued meanwhile is applied', async ({
    annotate,
  }) => {
    await settled()
    hub.tell(`handOver ${WINDOW_MS}`)
    const controls = controlsApply('handed-over')
    expect(await hub.next()).toEqual({ handedOver: true })
    const arrivals = await all('at the other hub')
    expectNoHerd(arrivals, (figures) => void annotate(figures), 'through a change of hubs')
    const originals = arrivals.filter(({ isOurs }) => !isOurs)
    expectNoHerdOfFew(originals)
    for (const { outcome } of await controls)
      expect(outcome).toEqual({ state: 'applied', confirmedBy: 'agent' })
  })
})

/** Of so few a second may hold more by chance; that they are spread shows in the time that they take. */
function expectNoHerdOfFew(arrivals: readonly Arrival[]): void {
  const sorted = lastOf(arrivals)
  expect((sorted.at(-1) ?? 0) - (sorted[0] ?? 0), 'originals moved together').toBeGreaterThan(WINDOW_MS / 2)
}
