/** The status of an agent as another process reads it: a real directory, real processes. */
import { limits } from '@downlink/protocol'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { createAgent, readAgentStatus, type AgentStatusReport } from '../index.ts'
import { createTestHub } from '../testing/index.ts'

async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'downlink-status-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return directory
}

function comesTo(directory: string, what: Partial<AgentStatusReport['status']>): Promise<AgentStatusReport> {
  return vi.waitFor(
    async () => {
      const report = await readAgentStatus(directory, Date.now())
      expect(report?.status).toMatchObject(what)
      if (report === undefined) throw new Error('There is no status file.')
      return report
    },
    { timeout: 20_000, interval: 20 },
  )
}

describe('given an agent with a state directory', () => {
  test('it runs, and ends > both is seen from outside, in a file for its owner only', async () => {
    const directory = await temporaryDirectory()
    expect(await readAgentStatus(directory, Date.now()), 'nothing ran there').toBeUndefined()
    const hub = createTestHub({ agentId: 'a1' })
    const agent = createAgent({ ...hub.agentOptions, stateDirectory: directory, onControl: () => undefined })
    const run = agent.run()
    run.catch(() => undefined)
    const report = await comesTo(directory, { downlink: 'sse', standing: 'ok', journal: 'ok' })
    expect(report).toMatchObject({ process: 'running', agentId: 'a1', pid: process.pid })
    expect((await stat(join(directory, 'status.json'))).mode & 0o777).toBe(0o600)
    expect(await readFile(join(directory, 'status.json'), 'utf8')).not.toContain('for-tests-only')
    const later = Date.now() + 4 * limits.STATUS_FILE_MS_MAX
    expect((await readAgentStatus(directory, later))?.process, 'it has not written for long').toBe('silent')
    const tracked = agent.track('t1')
    await comesTo(directory, {
      tasks: { queued: 0, running: 1, paused: 0, cancelled: 0, completed: 0, failed: 0 },
    })
    tracked.complete()
    await agent[Symbol.asyncDispose]()
    await run
    await hub[Symbol.asyncDispose]()
    const ended = await readAgentStatus(directory, Date.now())
    expect(ended).toMatchObject({ process: 'ended', endReason: 'stopped' })
  })

  test('its process was killed, and its pid is another process > it has died', async () => {
    const directory = await temporaryDirectory()
    const other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
    onTestFinished(async () => {
      other.kill('SIGKILL')
      await once(other, 'exit')
    })
    const written = {
      format: 1,
      agentId: 'a1',
      pid: other.pid ?? 0,
      bootId: 'an-earlier-boot',
      processStart: '1',
      startedMs: Date.now() - 1_000,
      updatedMs: Date.now(),
      status: { standing: 'ok' },
    }
    await writeFile(join(directory, 'status.json'), JSON.stringify(written))
    expect((await readAgentStatus(directory, Date.now()))?.process).toBe('died')
  })

  test('the file is damaged > there is no status, and no exception', async () => {
    const directory = await temporaryDirectory()
    for (const text of [
      '',
      '{',
      '[]',
      '{"agentId":"a1","pid":"x"}',
      '{"agentId":"a1","pid":1,"startedMs":1}',
    ]) {
      await writeFile(join(directory, 'status.json'), text)
      expect(await readAgentStatus(directory, 0)).toBeUndefined()
    }
  })
})
