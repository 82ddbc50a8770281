/** A hub whose database is put back from a backup, as docs/backup.md says, under agents that have gone on: nothing is dropped as stale. */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startNetworkAgent, type NetworkAgent } from './network-agent.ts'
import { startNetworkHub, type NetworkHub } from './network-hub.ts'

/** The database and its log. */
const FILES = ['hub.db', 'hub.db-wal']
/** Enough that the agent's marks are far above whatever the backup knows. */
const SINCE = 12

let folder: string
let hub: NetworkHub
let agent: NetworkAgent
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'downlink-backup-'))
  await startHub()
  agent = startAgent('a1', await hub.enroll('a1'))
  await agent.reaches('sse')
})
afterEach(async () => {
  await agent[Symbol.asyncDispose]()
  await hub[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

async function startHub(port = 0): Promise<void> {
  hub = await startNetworkHub({ folder: join(folder, 'hub'), heartbeat: '1s', port })
}

function startAgent(agentId: string, credential: string): NetworkAgent {
  const hubs = [`http://127.0.0.1:${hub.port}`]
  return startNetworkAgent({ hubs, stateDirectory: join(folder, `state-${agentId}`) }, credential)
}

/** Stops the hub, lets `work` have its files, and starts it on them again. */
async function betweenLives(end: NodeJS.Signals, work: () => void): Promise<void> {
  const { port } = hub
  await hub.process.stop(end)
  work()
  await startHub(port)
}

function copy(from: string, to: string): void {
  mkdirSync(join(folder, to), { recursive: true })
  for (const file of FILES) {
    rmSync(join(folder, to, file), { force: true })
    const source = join(folder, from, file)
    if (existsSync(source)) copyFileSync(source, join(folder, to, file))
  }
}

interface Issued {
  readonly controlId: string
  readonly epoch: number
}

async function issue(action: string, taskId: string, agentId = 'a1'): Promise<Issued> {
  return (await hub.call('POST', `/api/v1/agents/${agentId}/controls`, { action, taskId })) as never
}

/** Issues one and waits until it is applied. */
async function apply(action: string, taskId: string): Promise<Issued> {
  const issued = await issue(action, taskId)
  await hub.applied(issued.controlId)
  return issued
}

/** What the audit trail has of a control, in its order. */
async function trailOf(controlId: string): Promise<readonly string[]> {
  const { items } = await hub.call('GET', `/api/v1/audit?controlId=${encodeURIComponent(controlId)}`)
  return (items as { kind: string }[]).map(({ kind }) => kind)
}

test('given a backup of a hub that was killed > restored after more controls, new ones of the same lanes are applied at once, none is refused as stale', async () => {
  const first = await apply('pause', 't1')
  await apply('mark', 't1')
  await betweenLives('SIGKILL', () => copy('hub', 'backup'))
  let last = first
  for (let count = 0; count < SINCE; count += 1)
    last = await apply(count % 2 === 0 ? 'resume' : 'pause', 't1')
  for (let count = 0; count < SINCE; count += 1) await issue('mark', 't1')
  await agent.until('it has applied every mark', () => agent.timesApplied('mark t1') === SINCE + 1)

  await betweenLives('SIGKILL', () => copy('backup', 'hub'))
  const afterMs = Date.now()
  await agent.reaches('sse', afterMs)
  for (const [action, count] of [
    ['resume', agent.timesApplied('resume t1')],
    ['pause', agent.timesApplied('pause t1')],
    ['mark', agent.timesApplied('mark t1')],
  ] as const) {
    const { controlId, epoch } = await apply(action, 't1')
    expect(epoch, 'the restored hub issues above what was lost').toBeGreaterThan(last.epoch)
    expect(agent.timesApplied(`${action} t1`), `${action} must be applied once`).toBe(count + 1)
    expect(await trailOf(controlId), 'one that was refused as stale would be issued again').toEqual([
      'control.created',
      'control.settled',
    ])
  }
})

test('given controls open in the backup of a hub that was stopped, and applied since > a state verb holds again, a verb that must not be applied twice is not', async () => {
  const credential = await hub.enroll('a2')
  const pause = await issue('pause', 't2', 'a2')
  const mark = await issue('mark', 't2', 'a2')
  await betweenLives('SIGTERM', () => copy('hub', 'backup'))
  await using late = startAgent('a2', credential)
  for (const { controlId } of [pause, mark]) await hub.applied(controlId)
  // Its agent has forgotten them once it has heard that the hub has their outcomes.
  const resume = await issue('resume', 't2', 'a2')
  await hub.applied(resume.controlId)

  await betweenLives('SIGKILL', () => copy('backup', 'hub'))
  await hub.applied(pause.controlId)
  expect(late.timesApplied('pause t2'), 'what was intended in the backup is intended again').toBe(2)
  const path = `/api/v1/controls/${mark.controlId}?wait=25s&until=applied`
  const { outcome } = await hub.call('GET', path)
  expect(outcome).toMatchObject({ state: 'failed', code: 'history_lost' })
  expect(late.timesApplied('mark t2')).toBe(1)
})
