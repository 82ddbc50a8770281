/** Standing as a person meets it: keys replaced, agents revoked, copies and second starts, each by the command. */
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { runDownlink, startDownlink, type DownlinkProcess } from './downlink-process.ts'

const FAST_CLOCK = new URL('fixtures/fast-clock.js', import.meta.url).href

let cwd: string
let started: DownlinkProcess[]

beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'downlink-standing-'))
  started = []
})

afterEach(async () => {
  for (const command of started.reverse()) await command.stop()
  await rm(cwd, { recursive: true, force: true })
})

/** Starts a command that runs until it is ended. @param speed - how fast its time runs. */
function start(args: readonly string[], speed = 1): DownlinkProcess {
  const faster = [
    'env',
    `NODE_OPTIONS=${process.env.NODE_OPTIONS ?? ''} --import=${FAST_CLOCK}`,
    `DOWNLINK_TEST_SPEED=${speed}`,
  ]
  const command = startDownlink(cwd, args, speed === 1 ? [] : faster)
  started.push(command)
  return command
}

async function hubReady(speed = 1): Promise<void> {
  await start(['hub', '--port', '0'], speed).prints('The hub is up.')
}

async function agentReady(args: readonly string[], speed = 1): Promise<DownlinkProcess> {
  const agent = start(['agent', ...args], speed)
  await agent.prints('is connected to')
  return agent
}

const folderOf = (name: string): string => join(cwd, '.downlink', 'agents', name)

interface Listed {
  readonly status: string
  readonly keyRotation?: string
}

/** The only agent, as the operator sees it. */
async function listed(): Promise<Listed> {
  return JSON.parse((await runDownlink(cwd, ['agents', '--json'])).text) as Listed
}

test('given rotate --wait > the agent uses a new key at once, goes on, and starts again with it', async () => {
  await hubReady()
  const agent = await agentReady(['--name', 'one'])
  const file = join(folderOf('one'), 'credential')
  const before = await readFile(file, 'utf8')
  const rotated = await runDownlink(cwd, ['rotate', 'one', '--wait', '20s'])
  expect(rotated, rotated.text).toMatchObject({ code: 0, text: expect.stringContaining('uses a new key') })
  expect(await readFile(file, 'utf8')).not.toBe(before)
  expect(agent.text(), 'nothing may be refused on the way').not.toContain('blocked')
  expect(await agent.stop()).toBe(0)
  const again = await agentReady(['--name', 'one'])
  expect(again.text() + agent.text(), 'no key may be printed').not.toContain('dla.')
})

test('given rotate for an agent that is away > it says so, and the next start does it', async () => {
  await hubReady()
  await (await agentReady(['--name', 'one'])).stop()
  expect(await listed()).not.toHaveProperty('keyRotation')
  const waited = await runDownlink(cwd, ['rotate', 'one', '--wait', '100ms'])
  expect(waited, waited.text).toMatchObject({ code: 5, text: expect.stringContaining('Not known yet') })
  await agentReady(['--name', 'one'])
  await expect.poll(listed, { timeout: 20_000, interval: 500 }).not.toHaveProperty('keyRotation')
  const again = await runDownlink(cwd, ['rotate', 'one', '--wait', '20s'])
  expect(again.code, `a second one right after the first: ${again.text}`).toBe(0)
})

test('given revoke > the agent is told twice, ends with code 4, and keeps its credential only aside', async () => {
  // Half a minute lies between the two words, so time runs ten times as fast.
  await hubReady(10)
  const agent = await agentReady(['--name', 'one'], 10)
  await runDownlink(cwd, ['run', 'one', 'counter', '--task-id', 'c-1', '--input', '{"steps":9000}'])
  const revoked = await runDownlink(cwd, ['revoke', 'one'])
  expect(revoked, revoked.text).toMatchObject({ code: 0, text: expect.stringContaining('one is revoked') })
  await agent.prints('one is blocked (agent_revoked)')
  expect(await readdir(folderOf('one')), 'one word must not cost a credential').toContain('credential')
  expect(await agent.ended, agent.text()).toBe(4)
  expect(agent.text()).toContain('was revoked by the hub')
  const kept = await readdir(folderOf('one'))
  expect(kept).not.toContain('credential')
  expect(kept).toContainEqual(expect.stringMatching(/^credential\.revoked-/))
  expect(await listed()).toMatchObject({ status: 'revoked' })
  const control = await runDownlink(cwd, ['pause', 'one', 'c-1'])
  expect(control, control.text).toMatchObject({ code: 4, text: expect.stringContaining('was revoked') })
})

test('given a copy of an agent’s folder > the newer works, the older says that there is another, and the operator sees it', async () => {
  await hubReady()
  const first = await agentReady(['--name', 'one'])
  const copy = join(cwd, 'copy')
  await cp(folderOf('one'), copy, { recursive: true })
  const second = await agentReady(['--name', 'one', '--data', 'copy'])
  await first.prints(/one is blocked \(agent_hash_taken\)\. Another copy/)
  await expect.poll(listed, { timeout: 20_000, interval: 500 }).toMatchObject({ status: 'cloned' })
  expect(second.text(), 'the newer must not be disturbed').not.toContain('blocked')
  expect([first.child.exitCode, second.child.exitCode], 'both stay up').toEqual([null, null])
})

test('given a second start in one folder > it is refused by the first one’s pid, which goes on', async () => {
  await hubReady()
  const first = await agentReady(['--name', 'one'])
  const second = await runDownlink(cwd, ['agent', '--name', 'one'])
  expect(second.code, second.text).toBe(1)
  expect(second.text).toContain(`in use by process ${first.child.pid}.`)
  expect(await first.stop('SIGKILL')).toBe('SIGKILL')
  const third = await agentReady(['--name', 'one'])
  expect(await third.stop(), 'what a killed agent leaves must not keep its folder').toBe(0)
})

test('given the options of the network that are wrong > each is refused with what to give', async () => {
  for (const [args, remedy] of [
    [['--hub', 'ftp://hub'], 'Give a URL such as https://'],
    [['--mode', 'push'], 'auto, sse, poll'],
    [['--hub', 'https://hub.invalid', '--proxy', 'http://ada:secret-word@:x'], 'or none'],
    [['--hub', 'https://hub.invalid', '--ca', 'missing.pem'], 'cannot be read'],
    [['--label', 'zone'], 'zone=eu'],
  ] as const) {
    const { code, text } = await runDownlink(cwd, ['agent', ...args])
    expect([code, text], text).toEqual([2, expect.stringContaining(remedy)])
    expect(text, 'a proxy’s password is a secret').not.toContain('secret-word')
  }
})

test('given several hubs, a mode and labels > the agent is enrolled by the mirror that answers, and shown with them', async () => {
  await hubReady()
  const hub = JSON.parse(await readFile(join(cwd, '.downlink', 'hub.json'), 'utf8')) as { url: string }
  const key =
    (await runDownlink(cwd, ['enroll'])).text.split('\n').find((line) => line.startsWith('dle.')) ?? ''
  const hubs = ['--hub', 'http://127.0.0.1:9', '--hub', hub.url]
  const named = ['--name', 'two', '--mode', 'poll', '--label', 'zone=eu', '--label', 'rack=7']
  const agent = start(['agent', ...hubs, ...named, '--enrollment-key', key])
  await agent.prints('by long-polling')
  const { text } = await runDownlink(cwd, ['agents'])
  expect(text).toContain('zone=eu rack=7')
  expect(await agent.stop()).toBe(0)
  const elsewhere = await runDownlink(cwd, ['agent', '--name', 'two', '--hub', 'http://127.0.0.1:10'])
  expect(elsewhere, elsewhere.text).toMatchObject({
    code: 2,
    text: expect.stringContaining('its credential is not sent elsewhere'),
  })
})
