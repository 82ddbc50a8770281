import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@downlink/protocol'
import type { Json } from '@downlink/protocol'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { TaskRun } from './executor.ts'
import { createProcessExecutor } from './process-executor.ts'
import { createProcessTable, isAlive } from './process-table.ts'

const SAMPLES = join(import.meta.dirname, '../../../cli/samples')
const runs: TaskRun[] = []
let folder = ''

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'downlink-samples-'))
})
afterEach(async () => {
  for (const run of runs.splice(0)) await run.cancel().then(() => run.ended)
  rmSync(folder, { recursive: true, force: true })
})

const until = <T>(check: () => T | Promise<T>): Promise<T> =>
  vi.waitFor(check, { timeout: 20_000, interval: 5 })

function start(command: readonly string[], input: Json) {
  const seen = { pid: 0, lines: [] as string[], progress: [] as number[] }
  const run = createProcessExecutor({ command, graceMs: 2_000, clock: systemClock }).start({
    taskId: 'task',
    kind: 'kind',
    input,
    paused: false,
    reporter: {
      progress: (fraction) => void seen.progress.push(fraction),
      log: (line) => void seen.lines.push(line),
      async keepFacts(facts) {
        seen.pid = (facts as { pid: number }).pid
      },
    },
  })
  runs.push(run)
  return { run, seen }
}

const archive = (files: number, into: string = folder) =>
  start(['/bin/sh', join(SAMPLES, 'archive.sh')], { folder: into, files })

async function states(pid: number): Promise<string> {
  const rows = await createProcessTable(process.platform)!.list()
  return rows
    .filter((row) => row.session === pid && isAlive(row))
    .map((row) => row.state)
    .join('')
}

const inFolder = (program: string, ...args: string[]): string[] =>
  execFileSync(program, args, { cwd: folder, encoding: 'utf8' }).trim().split('\n')

describe.skipIf(process.platform !== 'linux')('given the sample archive', () => {
  it('paused and resumed in the middle > the archive verifies', { timeout: 60_000 }, async () => {
    const { run, seen } = archive(4)
    await until(() => expect(seen.progress.length, 'one file is done').toBeGreaterThan(0))
    await run.pause()
    expect(await states(seen.pid), 'the whole group stands still').toMatch(/^T+$/)
    const [files, progress] = [readdirSync(folder), seen.progress.length]
    // Meanwhile another task, which is not paused, gets something done.
    const other = start(['/bin/sh', join(SAMPLES, 'counter.sh')], { steps: 2 })
    expect(await other.run.ended, 'the counter counts').toEqual({
      status: 'completed',
      result: { counted: 2 },
    })
    expect([readdirSync(folder), seen.progress.length], 'nothing is done while paused').toEqual([
      files,
      progress,
    ])
    await run.resume()
    expect(await run.ended, `it completes; its log: ${seen.lines.join(' | ')}`).toEqual({
      status: 'completed',
      result: { files: 4, archive: join(folder, 'archive.tar'), sums: join(folder, 'SHA256SUMS') },
    })
    const names = [1, 2, 3, 4].map((n) => `sample-00${n}.txt.gz`)
    expect(inFolder('tar', '-tf', 'archive.tar'), 'the archive holds every file').toEqual(names)
    expect(inFolder('sha256sum', '-c', 'SHA256SUMS'), 'every sum is right').toEqual(
      [...names, 'archive.tar'].map((name) => `${name}: OK`),
    )
    expect(readdirSync(folder).toSorted(), 'no temporary file is left').toEqual(
      ['SHA256SUMS', 'archive.tar', ...names].toSorted(),
    )
    expect(seen.progress.at(-1), 'progress ends at 1').toBe(1)
  })

  it('cancelled > nothing half-written is left, and the next run goes on', { timeout: 60_000 }, async () => {
    const first = archive(2)
    await until(() => expect(first.seen.progress.length, 'one file is done').toBe(1))
    await first.run.cancel()
    expect(await first.run.ended, 'it ends').toEqual({ status: 'cancelled' })
    expect(await states(first.seen.pid), 'nothing of the group is left').toBe('')
    expect(readdirSync(folder), 'only what is complete').toEqual(['sample-001.txt.gz'])
    const [sum] = inFolder('sha256sum', 'sample-001.txt.gz')
    const second = archive(2)
    expect(await second.run.ended, 'it completes').toMatchObject({
      status: 'completed',
      result: { files: 2 },
    })
    expect(inFolder('sha256sum', 'sample-001.txt.gz'), 'keep what was complete').toEqual([sum])
  })

  it('a folder that is not there > fails and says so', async () => {
    const { run, seen } = archive(1, join(folder, 'missing'))
    expect(await run.ended, 'refuse it').toMatchObject({ status: 'failed', code: 'exit_status' })
    expect(seen.lines, 'say what to do').toEqual([expect.stringContaining('create it first')])
  })
})

describe.skipIf(process.platform === 'win32')('given the other samples', () => {
  it('hash > agrees with itself over its rounds', async () => {
    const input = { folder: SAMPLES, rounds: 3 }
    const { run, seen } = start([process.execPath, join(SAMPLES, 'hash.mjs')], input)
    expect(await run.ended, `it completes; its log: ${seen.lines.join(' | ')}`).toMatchObject({
      status: 'completed',
      result: { files: 3, rounds: 3, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
    })
    expect(seen.progress.at(-1), 'progress ends at 1').toBe(1)
  })

  it('counter > works in more than one process, and leaves none', async () => {
    const { run, seen } = start(['/bin/sh', join(SAMPLES, 'counter.sh')], { steps: 300 })
    await until(() => expect(seen.progress.length, 'it counts').toBeGreaterThan(0))
    if (process.platform === 'linux')
      expect((await states(seen.pid)).length, 'a parent and a child at least').toBeGreaterThanOrEqual(2)
    await run.cancel()
    expect(await run.ended, 'it ends').toEqual({ status: 'cancelled' })
    expect(await states(seen.pid), 'nothing is left').toBe('')
  })
})
