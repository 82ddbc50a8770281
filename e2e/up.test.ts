/** `downlink up` as the README shows it: the tour, a second agent, the second start, and what an end leaves behind. */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { runDownlink, startDownlink, type DownlinkProcess } from './downlink-process.ts'

let cwd: string
let started: DownlinkProcess[]

beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'downlink-up-'))
  started = []
})

afterEach(async () => {
  for (const command of started.reverse()) await command.stop()
  await rm(cwd, { recursive: true, force: true })
})

function start(args: readonly string[]): DownlinkProcess {
  const command = startDownlink(cwd, args)
  started.push(command)
  return command
}

async function upReady(...args: readonly string[]): Promise<DownlinkProcess> {
  const up = start(['up', '--port', '0', ...args])
  await up.prints('Changes, as they come')
  return up
}

interface Listed {
  readonly parent: number
  readonly group: number
  readonly stat: string
}

async function listProcesses(): Promise<readonly Listed[]> {
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'ppid=,pgid=,stat='])
  return stdout
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .map(([parent, group, stat = '']) => ({ parent: Number(parent), group: Number(group), stat }))
}

/** The process groups of the tasks that `command` runs: each child of an agent leads one. */
async function taskGroups({ child }: DownlinkProcess): Promise<readonly number[]> {
  const children = (await listProcesses()).filter(({ parent, group }) => parent === child.pid && group > 1)
  return children.map(({ group }) => group).filter((group) => group !== child.pid)
}

/** Those of `groups` in which something still runs; what has ended and waits for its parent's notice does not. */
async function alive(groups: readonly number[]): Promise<readonly number[]> {
  const left = (await listProcesses()).filter(({ stat }) => !stat.startsWith('Z'))
  return groups.filter((group) => left.some((other) => other.group === group))
}

test('given the first start > the tour shows T for the whole group while it is paused, and nothing after cancel', async () => {
  const up = await upReady()
  const line = (step: string): string => new RegExp(`^  ${step} .*$`, 'm').exec(up.text())?.[0] ?? ''
  expect(line('start')).toMatch(/running +after [\d.]+ m?s/)
  const states = [...line('pause').matchAll(/\d+ ([A-Z]\S*) /g)].map((match) => match[1] ?? '')
  expect(states.length, line('pause')).toBeGreaterThan(1)
  expect(
    states.every((state) => state.startsWith('T')),
    'stop every process of the group',
  ).toBe(true)
  expect(line('resume')).not.toMatch(/\d T/)
  expect(line('cancel')).toMatch(/cancelled .*nothing left$/)
  const group = Number(/ps of group (\d+)/.exec(line('cancel'))?.[1])
  expect(await alive([group])).toEqual([])
})

test('given up runs > token and data are for their owner only, and the token is in no output', async () => {
  const up = await upReady('--no-tour')
  const tokenFile = join(cwd, '.downlink', 'operator-token')
  expect((await stat(tokenFile)).mode & 0o777).toBe(0o600)
  expect((await stat(join(cwd, '.downlink'))).mode & 0o777).toBe(0o700)
  expect(up.text()).not.toContain((await readFile(tokenFile, 'utf8')).trim())
  expect(up.text()).toContain('./.downlink/operator-token')
})

test('given a second terminal > an agent joins by its name alone, takes a task, and starts again without a key', async () => {
  await upReady('--no-tour')
  const second = start(['agent', '--name', 'second'])
  await second.prints('is connected to')
  await runDownlink(cwd, ['run', 'second', 'counter', '--task-id', 'c-1', '--input', '{"steps":9000}'])
  expect(await runDownlink(cwd, ['pause', 'second', 'c-1', '--wait', '20s'])).toMatchObject({ code: 0 })
  expect(await second.stop('SIGINT')).toBe(0)
  const said = second
    .text()
    .split('\n')
    .filter((line) => /is connected to|reaches/.test(line))
  expect(said, 'a path that is fine, and the stop itself, are no news').toHaveLength(1)
  expect(await start(['agent', '--name', 'local']).ended, 'keep a second process out of a folder').toBe(1)
  const again = start(['agent', '--name', 'second'])
  await again.prints('is connected to')
  const cancelled = await runDownlink(cwd, ['cancel', 'second', 'c-1', '--wait', '20s'])
  expect(cancelled.code, cancelled.text).toBe(0)
})

test.each(['SIGTERM', 'SIGINT', 'SIGKILL'] as const)(
  'given %s > no sample runs on, and the next start goes on with the same tasks',
  async (signal) => {
    const up = await upReady('--no-tour')
    expect((await runDownlink(cwd, ['pause', 'local', 'archive-1', '--wait', '20s'])).code).toBe(0)
    const groups = await taskGroups(up)
    expect(groups.length, 'run each sample in a group of its own').toBeGreaterThanOrEqual(2)
    expect(await up.stop(signal)).toBe(signal === 'SIGKILL' ? 'SIGKILL' : 0)
    // After a kill it is the next start that ends what was left.
    if (signal !== 'SIGKILL') expect(await alive(groups), 'end every task before the exit').toEqual([])
    const again = await upReady('--no-tour')
    expect(again.text()).toContain('Goes on from the last start: archive-1')
    expect(again.text()).toContain('Goes on from the last start: hash-1')
    const paused = await runDownlink(cwd, ['pause', 'local', 'hash-1', '--wait', '20s'])
    expect(paused.code, paused.text).toBe(0)
    expect(await alive(groups), 'end at the start what an earlier life left').toEqual([])
    const newGroups = await taskGroups(again)
    expect(await again.stop()).toBe(0)
    expect(await alive(newGroups), 'end every task before the exit').toEqual([])
  },
)

test('given an archive that is paused and resumed > its progress stands still meanwhile, and it verifies', async () => {
  await upReady('--no-tour')
  const folder = join(cwd, 'packed')
  await mkdir(folder)
  const input = JSON.stringify({ folder, files: 2 })
  await runDownlink(cwd, ['run', 'local', 'archive', '--task-id', 'small', '--input', input])
  expect(await runDownlink(cwd, ['pause', 'local', 'small', '--wait', '20s'])).toMatchObject({ code: 0 })
  const before = await readdir(folder)
  expect(await runDownlink(cwd, ['tasks', 'local'])).toMatchObject({
    text: expect.stringMatching(/small +archive +paused/),
  })
  expect(await readdir(folder), 'nothing of a paused group may write').toEqual(before)
  expect(await runDownlink(cwd, ['resume', 'local', 'small', '--wait', '20s'])).toMatchObject({ code: 0 })
  const followed = await runDownlink(cwd, ['logs', 'local', 'small', '--follow'])
  expect(followed).toMatchObject({ code: 0, text: expect.stringContaining('small: completed.') })
  const { stdout } = await promisify(execFile)('tar', ['-tf', 'archive.tar'], { cwd: folder })
  expect(stdout.trim().split('\n')).toHaveLength(2)
  await promisify(execFile)('sha256sum', ['-c', 'SHA256SUMS'], { cwd: folder })
})

test('given a port that is taken > the error says how to choose another', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    const { port } = server.address() as AddressInfo
    const { code, text } = await runDownlink(cwd, ['up', '--port', String(port)])
    expect(code).toBe(1)
    expect(text).toContain(`Port ${port} on 127.0.0.1 is taken`)
    expect(text).toContain('--port')
  } finally {
    await new Promise((resolve) => server.close(resolve))
  }
})
