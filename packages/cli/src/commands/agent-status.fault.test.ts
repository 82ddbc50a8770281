/** `downlink agent status` beside a real agent, and what it says of agents that are not well. */
import { createAgent, type AgentStatusReport } from '@downlink/agent'
import { createTestHub } from '@downlink/agent/testing'
import { systemClock } from '@downlink/protocol'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { createOutput } from '../output.ts'
import { runCommand } from '../program.ts'
import { statusExitCode, statusLines } from './agent-status.ts'

async function downlink(cwd: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const out: string[] = []
  const err: string[] = []
  const target = (into: string[]) => ({ write: (text: string) => void into.push(text), isTerminal: false })
  const output = createOutput({ stdout: target(out), stderr: target(err), color: false })
  const context = {
    output,
    cwd,
    clock: systemClock,
    random: () => 0,
    readStdin: () => Promise.resolve(''),
    stopSignal: () => new AbortController().signal,
  }
  const code = await runCommand(args, context, '1.2.3')
  return { code, out: out.join(''), err: err.join('') }
}

async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'downlink-status-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return directory
}

describe('given an agent on this machine', () => {
  test('before, while and after it runs > the status says so, with its exit code', async () => {
    const cwd = await temporaryDirectory()
    const nobody = await downlink(cwd, 'agent', 'status', '--name', 'box')
    expect(nobody, nobody.err).toMatchObject({
      code: 1,
      out: expect.stringContaining('No agent has run') as unknown,
    })
    expect((await downlink(cwd, 'agent', 'status', '--name', 'box', '--json')).out).toContain(
      '"process":"none"',
    )

    const stateDirectory = join(cwd, '.downlink', 'agents', 'box', 'state')
    const hub = createTestHub({ agentId: 'box' })
    const agent = createAgent({ ...hub.agentOptions, stateDirectory, onControl: () => undefined })
    const run = agent.run()
    const running = await vi.waitFor(
      async () => {
        const status = await downlink(cwd, 'agent', 'status', '--name', 'box')
        expect(status.code, status.out + status.err).toBe(0)
        return status
      },
      { timeout: 20_000, interval: 50 },
    )
    expect(running.out).toMatch(/^Agent box runs, connected by a stream to https:\/\/hub\.test/)
    expect(running.out).toMatch(/last sync {4}.* answered in/)
    const json = await downlink(cwd, 'agent', 'status', '--state', stateDirectory, '--json')
    expect(JSON.parse(json.out)).toMatchObject({
      process: 'running',
      agentId: 'box',
      pid: process.pid,
      status: { standing: 'ok', downlink: 'sse', journal: 'ok' },
    })

    const other = await downlink(cwd, 'agent', 'status', '--name', 'misspelt')
    expect(other.out).toContain('there are: box. Give one as --name')

    hub.revoke()
    await vi.waitFor(
      async () => {
        const blocked = await downlink(cwd, 'agent', 'status', '--name', 'box')
        expect(blocked, blocked.out).toMatchObject({ code: 4 })
        expect(blocked.out).toMatch(/what to do .*revoked/)
      },
      { timeout: 20_000, interval: 50 },
    )
    await agent[Symbol.asyncDispose]()
    await run
    await hub[Symbol.asyncDispose]()
    const ended = await downlink(cwd, 'agent', 'status', '--name', 'box')
    expect(ended.code).toBe(1)
    expect(ended.out).toMatch(/is not running: it ended .*\(stopped\)/)
  })

  const report = (more: Partial<AgentStatusReport>): AgentStatusReport => ({
    process: 'running',
    agentId: 'a1',
    pid: 42,
    startedMs: 0,
    updatedMs: 60_000,
    status: { standing: 'ok', downlink: 'offline', hub: 'https://hub.test/', sinceMs: 30_000 },
    ...more,
  })

  test.each([
    [report({}), 3, /reaches NO HUB for 1 min/, /whether the hub answers/],
    [report({ process: 'silent' }), 5, /says NOTHING: its process lives/, /ps -o stat/],
    [report({ process: 'died' }), 1, /NOT RUNNING: its process ended without a word/, /out of memory/],
    [
      report({ status: { standing: 'blocked', downlink: 'offline', hub: 'h', remedy: 'Update it.' } }),
      4,
      /runs and is BLOCKED/,
      /Update it\./,
    ],
    [
      report({
        status: {
          standing: 'ok',
          downlink: 'long-poll',
          hub: 'h',
          path: { verdict: 'body-buffered', sentence: 'It is held back.', remedy: 'Turn buffering off.' },
        },
      }),
      0,
      /by long-polling to h: no stream works/,
      /Turn buffering off/,
    ],
    [
      report({
        process: 'ended',
        endedMs: 80_000,
        endReason: 'revoked',
        status: { standing: 'revoked', downlink: 'offline', hub: 'h', remedy: 'Enroll it again.' },
      }),
      1,
      /is not running: it ended 10 s ago \(revoked\)/,
      /Enroll it again/,
    ],
    [report({ status: { standing: 'ok', downlink: 'timer', hub: 'h' } }), 0, /by its syncs alone/, undefined],
  ])(
    'one that is not well > the first line says what, the second what to do',
    (seen, code, verdict, advice) => {
      const [first = '', second = ''] = statusLines(seen, './state', 90_000)
      expect(first).toMatch(verdict)
      if (advice !== undefined) expect(second).toMatch(advice)
      expect(statusExitCode(seen)).toBe(code)
    },
  )
})
