/** The whole agent on a disk that is full, damaged or read-only: it stays up, says so, decides nothing, and comes back by itself. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Cleanup, RestartableHub, runAgent, until } from '../test/agent-fixture.ts'
import { realDisk, type JournalFile } from './controls/journal-disk.ts'
import { encodeRecord } from './controls/journal-lines.ts'
import { openJournal } from './controls/open-journal.ts'
import type { LedgerRecord } from './controls/ledger-records.ts'
import { defineTask, type AgentOptions, type TaskContext } from './index.ts'
import { createProcessTable } from './tasks/process-table.ts'
import { processTask } from './tasks/process-task.ts'

let cleanup: Cleanup
let hub: RestartableHub
let options: AgentOptions
let did: string[]
beforeEach(async () => {
  did = []
  cleanup = new Cleanup()
  hub = await RestartableHub.start(cleanup)
  const work = defineTask({
    async run(task: TaskContext) {
      did.push('start')
      await new Promise<void>((resolve) =>
        task.signal.addEventListener('abort', () => resolve(), { once: true }),
      )
      did.push('end')
    },
  })
  options = { ...(await hub.enrolled()), tasks: { work } }
})
afterEach(() => cleanup[Symbol.asyncDispose]())

/** A folder on a disk of 64 KiB, or undefined if this machine forbids it. */
async function smallDisk(): Promise<string | undefined> {
  const directory = await cleanup.temporaryDirectory()
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', directory], { stdio: 'ignore' })
  } catch {
    return undefined
  }
  cleanup.add(async () => void execFileSync('umount', ['-l', directory]))
  return directory
}

/** Takes all that is left. */
async function fill(directory: string): Promise<void> {
  const rest = Buffer.alloc(4_096)
  for (let count = 0; count < 20; count++) {
    await writeFile(join(directory, 'filler'), rest, { flag: 'a' }).catch(() => undefined)
  }
}

async function controlState(): Promise<string> {
  const { body } = await hub.call('GET', 'agents/a1/controls')
  return String(body.items[0]?.outcome.state)
}

async function shownAgent(): Promise<readonly unknown[]> {
  const { body } = await hub.call('GET', 'agents/a1')
  return [body.status, body.blockedBy]
}

describe('given a state directory on a disk that is full', () => {
  test('when a control comes (R-33) > operators see why it stays open and nothing is applied; when there is room again it is decided', async (context) => {
    const directory = await smallDisk()
    if (directory === undefined) {
      context.skip('mounting a small tmpfs is not permitted here: run as root')
      return
    }
    const { agent, logged } = runAgent(cleanup, { ...options, stateDirectory: directory })
    await hub.call('POST', 'agents/a1/tasks', { kind: 'work', taskId: 't1' })
    await until('the task runs', () => did.includes('start'))
    await until('the agent is online', () => agent.status().downlink === 'sse')
    await fill(directory)
    // A page of the disk that is half full takes a small record still.
    const args = { reason: 'x'.repeat(8_192) }
    const reply = await hub.call('POST', 'agents/a1/controls', { action: 'pause', taskId: 't1', args })
    expect(reply.status).toBe(201)
    await until('the agent says that it is blocked', () => agent.status().standing === 'blocked')
    expect(agent.status().remedy).toMatch(/Free disk space/)
    expect(agent.status().downlink, 'it stays up').toBe('sse')
    await vi.waitFor(async () => expect(await shownAgent()).toEqual(['blocked', 'journal_unavailable']), {
      timeout: 20_000,
    })
    expect(JSON.stringify(logged)).toContain('the journal cannot be written')
    expect(['pending', 'delivered']).toContain(await controlState())
    await rm(join(directory, 'filler'))
    await until('it is well again by itself', () => agent.status().standing === 'ok')
    await vi.waitFor(async () => expect(await shownAgent()).toEqual(['online', undefined]), {
      timeout: 20_000,
    })
    await vi.waitFor(async () => expect(await controlState()).toBe('applied'), { timeout: 20_000 })
  })

  test('when the agent starts on it > it runs, blocked, and takes its task once there is room', async (context) => {
    const directory = await smallDisk()
    if (directory === undefined) {
      context.skip('mounting a small tmpfs is not permitted here: run as root')
      return
    }
    await fill(directory)
    const { agent } = runAgent(cleanup, { ...options, stateDirectory: directory })
    await until('the agent is online and blocked', () => {
      const { downlink, standing } = agent.status()
      return downlink === 'sse' && standing === 'blocked'
    })
    await hub.call('POST', 'agents/a1/tasks', { kind: 'work', taskId: 't1' })
    expect(did).toEqual([])
    await rm(join(directory, 'filler'))
    await until('the task runs', () => did.includes('start'))
    expect(agent.status().standing).toBe('ok')
  })
})

describe('given a disk whose flush fails', () => {
  test('when that passes > the journal is another file, and what was decided before is in it', async () => {
    const directory = await cleanup.temporaryDirectory()
    let isBroken = false
    const disk = {
      ...realDisk,
      async create(path: string): Promise<JournalFile> {
        const file = await realDisk.create(path)
        const flush = file.datasync.bind(file)
        file.datasync = async () => {
          if (isBroken) throw Object.assign(new Error('i/o error'), { code: 'EIO' })
          await flush()
        }
        return file
      },
    }
    const { agent, stop } = runAgent(cleanup, {
      ...options,
      stateDirectory: directory,
      openJournal: (path, clock, given) => openJournal(path, clock, { ...given, disk }),
    })
    await hub.call('POST', 'agents/a1/tasks', { kind: 'work', taskId: 't1' })
    await until('the task runs', () => did.includes('start'))
    isBroken = true
    await expect(agent.decide('t1', 'pause')).rejects.toThrow(/EIO/)
    isBroken = false
    await until('it is well again by itself', () => agent.status().standing === 'ok')
    await agent.decide('t1', 'pause')
    await stop()
    const text = await readFile(join(directory, 'journal.jsonl'), 'utf8')
    expect(text).toContain('"type":"task","taskId":"t1"')
    expect(text.match(/"type":"decision"/g), 'only the decision that was not refused').toHaveLength(1)
  })
})

describe('given a journal that was damaged while the agent was down', () => {
  test('when a process of it still runs > it is ended before the agent speaks to its hub', async () => {
    const directory = await cleanup.temporaryDirectory()
    const leftover = spawn('/bin/sleep', ['1000'], { detached: true, stdio: 'ignore' })
    const gone = once(leftover, 'exit')
    cleanup.add(async () => void leftover.kill('SIGKILL'))
    const pid = leftover.pid ?? 0
    const table = createProcessTable(process.platform)
    const facts = {
      pid,
      startTime: (await table?.find(pid))?.startTime ?? '',
      bootId: (await table?.bootId()) ?? '',
      mark: '',
    }
    const lines: LedgerRecord[] = [
      { type: 'journal', journalId: 'j1' },
      { type: 'task', taskId: 't1', kind: 'sleeper', input: null },
      { type: 'facts', taskId: 't1', facts },
    ]
    const text = `${lines.map(encodeRecord).join('')}a line that no agent wrote\n`
    await writeFile(join(directory, 'journal.jsonl'), text)
    const { agent, logged } = runAgent(cleanup, {
      ...options,
      tasks: { sleeper: processTask({ command: ['/bin/sleep', '1000'], graceMs: 200 }) },
      stateDirectory: directory,
    })
    const [, signal] = (await gone) as [number | null, string | null]
    expect(signal, 'two copies of one task must never run').toBe('SIGTERM')
    await until('the agent is online', () => agent.status().downlink === 'sse')
    expect((await readdir(directory)).some((name) => name.includes('damaged'))).toBe(true)
    expect(JSON.stringify(logged)).toContain('the journal is damaged')
  })
})
