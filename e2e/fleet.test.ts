/** Three hundred agents, and originals among them, through a change of hubs, and after the hub was killed: no herd, and no control is lost. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { limits, type ControlRecord } from '@downlink/protocol'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ask, type HubAddress } from '../packages/testkit/src/kills/operator.ts'
import { startFixture, type FixtureProcess } from './fleet-process.ts'
import { expectNoHerd, Fleet } from './fleet.ts'

const OURS = [130, 130]
const ORIGINALS = 40
const AGENTS = 300
/** So that the window of this fleet is that of 6,000 agents at an ordinary hub. */
const ACCEPT_PER_S = 50
const WINDOW_MS = (2_000 * AGENTS) / ACCEPT_PER_S
/** All are to be back so long after a hub is there. */
const BACK_MS_MAX = WINDOW_MS + limits.SLOT_GRACE_MS

let folder: string
let hub: FixtureProcess
let fleet: Fleet
const address: HubAddress = { url: '', token: '' }

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'downlink-fleet-'))
  await startHub()
  fleet = await Fleet.start(address, { ours: OURS, originals: ORIGINALS }, WINDOW_MS)
})
afterAll(async () => {
  await Promise.all([hub.kill(), fleet[Symbol.asyncDispose]()])
  await rm(folder, { recursive: true, force: true })
})

/** On the same data and, from the second time on, the same port. */
async function startHub(): Promise<void> {
  const port = address.url === '' ? 0 : Number(new URL(address.url).port)
  hub = startFixture('fleet-hub.ts', [folder, port, ACCEPT_PER_S])
  Object.assign(address, await hub.next())
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

describe(`given ${AGENTS - ORIGINALS} agents and ${ORIGINALS} originals`, () => {
  test('when another hub takes over > originals, too, move in no herd, and what is issued meanwhile is applied', async ({
    annotate,
  }) => {
    hub.tell(String(WINDOW_MS))
    const controls = controlsApply('handed-over')
    expect(await hub.next()).toEqual({ handedOver: true })
    const arrivals = await fleet.back(3 * BACK_MS_MAX)
    const timesMs = arrivals.map(({ dialMs }) => dialMs)
    expectNoHerd(timesMs, WINDOW_MS, 'through a change of hubs', (figures) => void annotate(figures))
    expectNoHerdOfFew(arrivals.filter(({ isOurs }) => !isOurs).map(({ dialMs }) => dialMs))
    for (const { outcome } of await controls)
      expect(outcome).toEqual({ state: 'applied', confirmedBy: 'agent' })
  })

  // The last one: originals that were refused too often go on by polls.
  test('when the hub is killed > all are back within the window, in no herd, and what was issued meanwhile is applied', async ({
    annotate,
  }) => {
    await fleet.settled(WINDOW_MS)
    const killedMs = Date.now()
    await hub.kill()
    await startHub()
    const upMs = Date.now()
    const controls = controlsApply('killed')
    const arrivals = await fleet.back(3 * BACK_MS_MAX)
    const ours = arrivals.filter(({ isOurs }) => isOurs)
    const lastMs = Math.max(...ours.map(({ dialMs }) => dialMs)) - upMs
    await annotate(
      `up again after ${upMs - killedMs} ms; the last of ours dialled ${Math.round(lastMs)} ms after that`,
    )
    expect(lastMs, 'an agent came too late').toBeLessThanOrEqual(BACK_MS_MAX)
    const firstMs = ours.map(({ firstDialMs }) => firstDialMs)
    expectNoHerd(firstMs, WINDOW_MS, 'after a kill', (figures) => void annotate(figures))
    for (const { outcome } of await controls)
      expect(outcome).toEqual({ state: 'applied', confirmedBy: 'agent' })
  })
})

/** Of so few a second may hold more by chance; that they are spread shows in the time that they take. */
function expectNoHerdOfFew(timesMs: readonly number[]): void {
  const tookMs = Math.max(...timesMs) - Math.min(...timesMs)
  expect(tookMs, 'originals moved together').toBeGreaterThan(WINDOW_MS / 2)
}
