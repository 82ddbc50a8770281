import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { limits, systemClock } from '@downlink/protocol'
import type { Json } from '@downlink/protocol'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { TaskExecutor, TaskRun } from './executor.ts'
import { createProcessExecutor } from './process-executor.ts'
import type { ProcessTaskOptions } from './process-executor.ts'
import { factsToJson, MARK_VARIABLE } from './process-group.ts'
import type { ProcessFacts } from './process-group.ts'
import { createProcessTable, isAlive } from './process-table.ts'
import type { ProcessRow } from './process-table.ts'

/** A shell, a child and a child in a group of its own, each adding to a file of its own for ever. */
const TREE = `work() { while :; do printf x >>"$1"; sleep 0.01; done; }
work "$0/child" & timeout 600 /bin/sh -c 'while :; do printf x >>"$0/apart"; sleep 0.01; done' "$0" &
work "$0/parent"`
const COUNTERS = ['parent', 'child', 'apart'] as const

const table = createProcessTable('linux')!
let folder = ''
const runs: TaskRun[] = []
const agents: ChildProcess[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'downlink-process-'))
})
afterEach(async () => {
  for (const agent of agents.splice(0)) agent.kill('SIGKILL')
  for (const run of runs.splice(0)) await run.cancel().then(() => run.ended)
  rmSync(folder, { recursive: true, force: true })
})

const until = <T>(check: () => T | Promise<T>): Promise<T> =>
  vi.waitFor(check, { timeout: 20_000, interval: 5 })

function executor(command: readonly string[], options: Partial<ProcessTaskOptions> = {}): TaskExecutor {
  return createProcessExecutor({ command, graceMs: 2_000, clock: systemClock, ...options })
}

function start(
  by: TaskExecutor,
  options: { input?: Json; paused?: boolean; keepFacts?: (facts: Json) => Promise<void> } = {},
) {
  const seen = {
    facts: undefined as { pid: number } | undefined,
    lines: [] as string[],
    progress: [] as unknown[],
  }
  const run = by.start({
    taskId: 'task',
    kind: 'kind',
    input: options.input ?? {},
    paused: options.paused ?? false,
    reporter: {
      progress: (...said) => void seen.progress.push(said),
      log: (line) => void seen.lines.push(line),
      async keepFacts(facts) {
        seen.facts = facts as unknown as { pid: number }
        await options.keepFacts?.(facts)
      },
    },
  })
  runs.push(run)
  const pid = (): Promise<number> => until(() => seen.facts!.pid)
  return { run, seen, pid }
}

const shell = (script: string, options: Partial<ProcessTaskOptions> = {}): TaskExecutor =>
  executor(['/bin/sh', '-c', script, folder], options)

async function session(pid: number): Promise<readonly ProcessRow[]> {
  return (await table.list()).filter((row) => (row.session === pid || row.pgrp === pid) && isAlive(row))
}

function sizeOf(name: string): number {
  try {
    return statSync(join(folder, name)).size
  } catch {
    return 0
  }
}

async function expectNothingLeft(pid: number): Promise<void> {
  expect(await session(pid), 'end every process of the group before saying that the task has ended').toEqual(
    [],
  )
}

function untilCounting(names: readonly string[] = COUNTERS): Promise<void> {
  const before = names.map(sizeOf)
  return until(() =>
    names.forEach((name, i) => expect(sizeOf(name), `${name} should count`).toBeGreaterThan(before[i]! + 1)),
  )
}

describe.skipIf(process.platform !== 'linux')('given a task of several processes', () => {
  it('paused > all stand still and so does their work; resumed > it goes on', async () => {
    const { run, pid } = start(shell(TREE))
    const other = start(shell('while :; do printf x >>"$0/other"; sleep 0.01; done'))
    await untilCounting([...COUNTERS, 'other'])
    await run.pause()
    const rows = await session(await pid())
    expect(rows.length, 'the shell, its children and theirs').toBeGreaterThanOrEqual(4)
    expect(new Set(rows.map((row) => row.state)), 'stop every process before pause resolves').toEqual(
      new Set('T'),
    )
    const before = COUNTERS.map(sizeOf)
    await untilCounting(['other'])
    await run.pause()
    expect(COUNTERS.map(sizeOf), 'nothing may be written while paused').toEqual(before)
    await run.resume()
    await run.resume()
    await untilCounting()
    await other.run.cancel()
    await run.cancel()
    expect([await run.ended, await other.run.ended], 'end as cancelled').toEqual([
      { status: 'cancelled' },
      { status: 'cancelled' },
    ])
    await expectNothingLeft(await pid())
  })

  it('paused and resumed again and again, in the middle of its forks > it stands still each time', async () => {
    const { run, pid } = start(shell(TREE))
    await untilCounting()
    for (let i = 0; i < 40; i++) {
      await run.pause()
      const stopped = (await session(await pid())).map((row) => row.state)
      expect(new Set(stopped), `stop every process, the ${i + 1}th time too`).toEqual(new Set('T'))
      await run.resume()
      await untilCounting(['parent'])
    }
  })

  it('cancelled while paused > it ends', async () => {
    const { run, pid } = start(shell(TREE))
    await untilCounting()
    await run.pause()
    await run.cancel()
    expect(await run.ended, 'continue what stands still, or it never sees SIGTERM').toEqual({
      status: 'cancelled',
    })
    await expectNothingLeft(await pid())
    await Promise.all([run.pause(), run.resume(), run.cancel(), run.shutdown()])
  })

  it('pause, resume, pause and cancel at once > it ends, and nothing is left', async () => {
    const { run, pid } = start(shell(TREE))
    await untilCounting()
    // Listened to at once: on a busy machine a pause gives up before the cancel has been told.
    const overtaken = Promise.allSettled([run.pause(), run.resume(), run.pause()])
    await run.cancel()
    await overtaken
    expect(await run.ended, 'the cancel wins').toEqual({ status: 'cancelled' })
    await expectNothingLeft(await pid())
  })

  it('a grandchild ignores SIGTERM > it is killed after the grace', async () => {
    const deaf = `/bin/sh -c 'trap "" TERM; while :; do printf x >>"$0/deaf"; sleep 0.01; done' "$0" & wait`
    const { run, pid } = start(shell(deaf, { graceMs: 50 }))
    await untilCounting(['deaf'])
    await run.cancel()
    expect(await run.ended, 'kill what ignores SIGTERM').toEqual({ status: 'cancelled' })
    await expectNothingLeft(await pid())
  })

  it('the agent stops > the run is interrupted, unless it was cancelled', async () => {
    const { run, pid } = start(shell(TREE))
    await untilCounting()
    await run.shutdown()
    expect(await run.ended, 'shutdown resolves when nothing runs').toEqual({ status: 'interrupted' })
    await expectNothingLeft(await pid())
    const second = start(shell(TREE))
    const stopped = second.run.shutdown()
    await Promise.all([second.run.cancel(), stopped])
    expect(await second.run.ended, 'an intended cancel holds').toEqual({ status: 'cancelled' })
  })

  it('the command ends before its children > they are ended, and the log says so', async () => {
    const { run, seen, pid } = start(
      shell('sleep 600 & sleep 600 & echo "::result [1]"; exit 0', { graceMs: 50 }),
    )
    expect(await run.ended, 'the status of the command counts').toEqual({ status: 'completed', result: [1] })
    expect(seen.lines, 'mention the leftovers').toEqual([
      expect.stringContaining('left 2 of its processes running'),
    ])
    await expectNothingLeft(await pid())
  })
})

describe.skipIf(process.platform !== 'linux')('given the start of a task', () => {
  it('facts that are not kept yet > nothing of the command has run', async () => {
    const { promise: kept, resolve } = Promise.withResolvers<void>()
    const { run, pid } = start(shell('printf x >"$0/ran"'), { keepFacts: () => kept })
    const rows = await session(await pid())
    expect(rows.length, 'the gate alone waits').toBe(1)
    await run.pause()
    await run.resume()
    expect(sizeOf('ran'), 'hold the command until its facts are kept').toBe(0)
    resolve()
    expect(await run.ended, 'then let it run').toEqual({ status: 'completed', result: { exitCode: 0 } })
    expect(sizeOf('ran'), 'the command ran').toBe(1)
  })

  it.each(['cancelled', 'interrupted'] as const)(
    '%s before its facts are kept > the command never runs',
    async (end) => {
      const { run, pid } = start(shell('printf x >"$0/ran"'), { keepFacts: () => new Promise(() => {}) })
      await pid()
      await (end === 'cancelled' ? run.cancel() : run.shutdown())
      expect(await run.ended, 'end without having run').toEqual({ status: end })
      expect(sizeOf('ran'), 'close the gate').toBe(0)
      await expectNothingLeft(await pid())
    },
  )

  it('facts that cannot be kept > the task fails, and nothing has run', async () => {
    const { run, pid } = start(shell('printf x >"$0/ran"'), {
      keepFacts: () => Promise.reject(new Error('disk full')),
    })
    expect(await run.ended, 'say why').toEqual({
      status: 'failed',
      code: 'start_failed',
      message: expect.stringContaining('disk full'),
    })
    expect(sizeOf('ran'), 'never run what a next life could not find').toBe(0)
    await expectNothingLeft(await pid())
  })

  it('the held process is killed by somebody else > the task fails, it was not cancelled', async () => {
    const { run, pid } = start(shell('printf x >"$0/ran"'), { keepFacts: () => new Promise(() => {}) })
    process.kill(await pid(), 'SIGKILL')
    expect(await run.ended, 'say what happened').toMatchObject({ status: 'failed', code: 'killed_by_signal' })
  })

  it('paused from the start > nothing of the command runs until it is resumed', async () => {
    const { run, pid } = start(shell('printf x >"$0/ran"'), { paused: true })
    await until(async () => expect((await session(await pid()))[0]?.state, 'the gate stands still').toBe('T'))
    await run.pause()
    expect(sizeOf('ran'), 'stop it before it is let go').toBe(0)
    await run.resume()
    expect(await run.ended, 'then it runs').toEqual({ status: 'completed', result: { exitCode: 0 } })
  })

  it('its facts > name the process that becomes the command', async () => {
    const { run, seen, pid } = start(shell('echo $$; exec sleep 600'))
    await until(() => expect(seen.lines, 'the command prints its pid').toEqual([String(seen.facts?.pid)]))
    expect((await table.find(await pid()))?.startTime, 'pid and start time stay').toBe(
      (seen.facts as unknown as { startTime: string }).startTime,
    )
    await run.cancel()
    await run.ended
  })

  it.each([
    ['a program that is not there', ['/nonexistent/program'], {}, 'exit_status', 'not found'],
    ['a folder that is not there', ['true'], { cwd: '/nonexistent' }, 'start_failed', 'folder /nonexistent'],
    ['a status', ['/bin/sh', '-c', 'exit 3'], {}, 'exit_status', 'status 3'],
    ['a signal', ['/bin/sh', '-c', 'kill -9 $$'], {}, 'killed_by_signal', 'SIGKILL'],
  ])('%s > the task fails and says so', async (_what, command, options, code, text) => {
    const { run } = start(executor(command, options))
    expect(await run.ended, 'name what happened').toEqual({
      status: 'failed',
      code,
      message: expect.stringContaining(text),
    })
  })

  it('an argument like -rf > is refused, and nothing starts', async () => {
    const by = executor(['rm', '{path}'], { placeholders: { path: '.*' } })
    const { run, seen } = start(by, { input: { path: '-rf' } })
    expect(await run.ended, 'refuse it').toMatchObject({ status: 'failed', code: 'bad_input' })
    expect(seen.facts, 'start nothing').toBeUndefined()
  })
})

describe.skipIf(process.platform !== 'linux')('given what goes in and comes out', () => {
  it('input > is on standard input, and nowhere else', async () => {
    const input = { text: 'a"b\u001b', n: [1] }
    const { run, seen } = start(shell('IFS= read -r l; printf "%s\\n" "$l"; cat; echo "$#" >&2'), { input })
    await run.ended
    expect(seen.lines.toSorted(), 'one line of JSON, then the end').toEqual(['0', JSON.stringify(input)])
  })

  it('a command that does not read it > ends as it likes', async () => {
    const { run } = start(executor(['true']), { input: 'x'.repeat(60_000) })
    expect(await run.ended, 'ignore EPIPE').toEqual({ status: 'completed', result: { exitCode: 0 } })
  })

  it('progress and result > are reported, what is malformed is logged', async () => {
    const script =
      'echo "::progress 0.5 half way"; echo "::progress 2"; echo "::result 1"; echo "::result {"; echo "::progress 1" >&2'
    const { run, seen } = start(shell(script))
    expect(await run.ended, 'the last good result counts').toEqual({ status: 'completed', result: 1 })
    expect(seen.progress, 'report progress').toEqual([[0.5, 'half way']])
    expect(seen.lines.toSorted(), 'log the rest').toEqual(['::progress 1', '::progress 2', '::result {'])
  })

  it('output without end > the agent does not grow, and the writer waits', async () => {
    let bytes = 0
    const lengths = new Set<number>()
    const by = shell('yes "$(printf "%09999d" 0)" & while :; do printf %09999d 0; done >&2')
    const run = by.start({
      taskId: 'task',
      kind: 'kind',
      input: {},
      paused: false,
      reporter: {
        progress: () => {},
        log(line) {
          bytes += line.length
          lengths.add(Buffer.byteLength(line))
        },
        keepFacts: async () => {},
      },
    })
    runs.push(run)
    const before = process.memoryUsage().arrayBuffers
    await until(() => expect(bytes, 'lines arrive').toBeGreaterThan(2 * limits.TASK_OUTPUT_BURST_BYTES))
    expect(Math.max(...lengths), 'cut each line').toBeLessThanOrEqual(limits.TASK_LOG_LINE_BYTES_MAX)
    expect(process.memoryUsage().arrayBuffers - before, 'hold no more than the pipes do').toBeLessThan(
      32_000_000,
    )
    await run.cancel()
    expect(await run.ended, 'it can still be cancelled').toEqual({ status: 'cancelled' })
  })

  it("the agent's environment > stays with the agent", async () => {
    vi.stubEnv('DOWNLINK_TOKEN', 'do-not-pass')
    const { run, seen } = start(executor(['env'], { env: { ADDED: 'yes' } }))
    vi.unstubAllEnvs()
    await run.ended
    const names = seen.lines.map((line) => line.split('=')[0] ?? '')
    expect(names, 'pass what was added').toContain('ADDED')
    expect(
      names.filter(
        (name) => !/^(?:PATH|HOME|LANG|LC_.*|TZ|TMPDIR|ADDED|DOWNLINK_RUN|PWD|OLDPWD|SHLVL|_)$/.test(name),
      ),
      'inherit only what is listed',
    ).toEqual([])
  })
})

/** A process that is an agent: it starts `script`, prints the facts, and keeps them if `keeps`. */
async function startAgent(
  script: string,
  keeps: boolean,
): Promise<{ agent: ChildProcess; facts: ProcessFacts }> {
  const source = `
    import { createProcessExecutor } from './process-executor.ts'
    import { systemClock } from '@downlink/protocol'
    const [script, folder, keeps] = process.argv.slice(1)
    const never = new Promise(() => setInterval(() => {}, 1e6))
    createProcessExecutor({ command: ['/bin/sh', '-c', script, folder], clock: systemClock }).start({
      taskId: 'task', kind: 'kind', input: {}, paused: false,
      reporter: {
        progress() {}, log() {},
        keepFacts(facts) { console.log(JSON.stringify(facts)); return keeps === 'keeps' ? Promise.resolve() : never },
      },
    })`
  const agent = spawn(
    process.execPath,
    [
      '--conditions=@downlink/source',
      '--input-type=module',
      '-e',
      source,
      script,
      folder,
      keeps ? 'keeps' : '',
    ],
    { cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'inherit'] },
  )
  agents.push(agent)
  const [line] = (await once(createInterface(agent.stdout), 'line')) as [string]
  return { agent, facts: JSON.parse(line) as ProcessFacts }
}

async function killed(agent: ChildProcess): Promise<void> {
  const exited = once(agent, 'exit')
  agent.kill('SIGKILL')
  await exited
}

describe.skipIf(process.platform !== 'linux')('given an agent that is killed (-9)', () => {
  it('before its facts are kept > the held process ends by itself, and nothing has run', async () => {
    const { agent, facts } = await startAgent('printf x >"$0/ran"', false)
    expect(await session(facts.pid), 'it is held').toHaveLength(1)
    await killed(agent)
    await until(async () => expect(await session(facts.pid), 'the closed gate ends it').toEqual([]))
    expect(sizeOf('ran'), 'nothing has run').toBe(0)
  })

  it('while a task runs > its next life ends the group by the facts, and nothing by others', async () => {
    const { agent, facts } = await startAgent(TREE, true)
    await untilCounting()
    await killed(agent)
    await untilCounting()
    const next = executor(['true'], { graceMs: 50 })
    const foreign = [
      null,
      {},
      { ...facts, startTime: '1' },
      { ...facts, bootId: 'earlier' },
      { ...facts, pid: 1 },
    ]
    for (const wrong of foreign) await next.reap(wrong)
    await untilCounting()
    await next.reap(factsToJson(facts))
    await expectNothingLeft(facts.pid)
    await next.reap(factsToJson(facts))
  })

  it('the command gone, a child left > the child still bears the mark, and is ended', async () => {
    const { agent, facts } = await startAgent('sleep 600 & echo $! >"$0/pid"; exec sleep 600', true)
    await until(() => expect(sizeOf('pid'), 'the child runs').toBeGreaterThan(0))
    await killed(agent)
    const child = Number(readFileSync(join(folder, 'pid'), 'utf8'))
    process.kill(facts.pid, 'SIGKILL')
    await until(async () =>
      expect(
        (await session(facts.pid)).map((row) => row.pid),
        'only the child',
      ).toEqual([child]),
    )
    const bears = (mark: string): Promise<boolean> => table.hasVariable(child, MARK_VARIABLE, mark)
    expect([await bears(facts.mark), await bears('other')], 'tell it by its environment').toEqual([
      true,
      false,
    ])
    await executor(['true'], { graceMs: 50 }).reap(factsToJson(facts))
    await expectNothingLeft(facts.pid)
  })
})

describe('given what an executor of processes cannot do', () => {
  it('verbs of its own > are unsupported', async () => {
    const by = executor(['sleep', '600'])
    expect(by.deliveryOf('rotate'), 'it has none').toBeUndefined()
    const { run } = start(by)
    await expect(run.applyVerb('rotate', {}), 'refuse it').rejects.toMatchObject({ code: 'unsupported' })
  })

  it('on Windows > pause is refused in a sentence, cancel works', async () => {
    const by = executor([process.execPath, '-e', 'setInterval(() => {}, 1e6)'], { platform: 'win32' })
    const { run, pid } = start(by)
    await pid()
    await expect(run.pause(), 'say that Windows cannot').rejects.toMatchObject({
      code: 'pause_failed',
      message: expect.stringContaining('Windows'),
    })
    await run.cancel()
    expect(await run.ended, 'end it').toEqual({ status: 'cancelled' })
    await by.reap({ pid: 500 })
  })
})
