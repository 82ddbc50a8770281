/** The examples of a hub inside another server, as somebody would copy them: each is installed in a folder of its own, started, and a control goes through it to an agent. */
import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createAgent, defineTask, enroll, memoryCredential, type Agent } from '@downlink/agent'
import { createOperatorClient, type OperatorClient } from '@downlink/client'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { packAll } from '../scripts/check-packages.ts'
import { ROOT } from '../scripts/run-command.ts'
import { installProject, startExample, type Example } from './adopter-project.ts'

const run = promisify(execFile)
const INSTALL_MS_MAX = 240_000
const PASSWORD = 'a-password-of-the-example'
const SERVER = [process.execPath, '--disable-warning=ExperimentalWarning', 'server.ts']
const NEXT = [process.execPath, 'node_modules/next/dist/bin/next']

let folder: string
let tarballs: readonly (readonly [name: string, file: string])[]

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'downlink-examples-'))
  const { tarballs: packed, output } = await packAll(folder)
  if (packed === undefined) throw new Error(`The packages cannot be packed: ${output}`)
  tarballs = packed.map(({ name, filename }) => [name, `file:../${filename}`])
}, INSTALL_MS_MAX)

afterAll(() => rm(folder, { recursive: true, force: true }))

/** The folder of a copy of the example with everything installed. */
async function install(name: string, skip: (isSo: boolean, why?: string) => void): Promise<string> {
  const project = join(folder, name)
  await cp(join(ROOT, 'examples', name), project, { recursive: true })
  const manifest = JSON.parse(await readFile(join(project, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>
  }
  const isUsed = ([package_]: readonly [string, string]): boolean =>
    package_ === '@downlink/protocol' || package_ in manifest.dependencies
  const dependencies = { ...manifest.dependencies, ...Object.fromEntries(tarballs.filter(isUsed)) }
  await writeFile(join(project, 'package.json'), JSON.stringify({ ...manifest, dependencies }))
  const obstacle = await installProject(project, INSTALL_MS_MAX)
  if (obstacle !== undefined) console.log(`skipped: the example ${name}, as ${obstacle}`)
  skip(obstacle !== undefined, obstacle)
  return project
}

/** Starts it, and says where its hub is. */
async function start(
  project: string,
  command: readonly string[],
  basePath: string,
): Promise<{ readonly example: Example; readonly hub: string }> {
  const env = { PORT: '0', OPERATOR_PASSWORD: PASSWORD, NEXT_TELEMETRY_DISABLED: '1' }
  const example = startExample(project, command, env)
  const [, port = ''] = await example.prints(/(?:port: |127\.0\.0\.1:)(\d+)/)
  return { example, hub: `http://127.0.0.1:${port}${basePath}` }
}

/** Enrolls an agent that may start backups, and runs it. */
async function startAgent(hub: string, operator: OperatorClient): Promise<Agent> {
  const credential = memoryCredential()
  const { key } = await operator.createEnrollmentKey({ agentId: 'box-1' })
  await enroll({ hub, enrollmentKey: key, agentId: 'box-1', credential })
  const backup = defineTask({
    run: ({ signal }) =>
      new Promise<void>((_, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
      ),
  })
  const agent = createAgent({ hubs: [hub], credential, tasks: { backup } })
  void agent.run()
  onTestFinished(() => agent[Symbol.asyncDispose]())
  return agent
}

/** A pause and a cancel through the example, each until the task shows it; how long the pause took, ms. */
async function carryControls(operator: OperatorClient, agent: Agent): Promise<number> {
  const task = await operator.start('box-1', 'backup', undefined, { taskId: 'nightly' })
  await vi.waitUntil(() => agent.status().tasks.running === 1, { timeout: 30_000 })
  const sentMs = performance.now()
  const paused = await task.pause({ until: 'observed', timeoutMs: 30_000 })
  const tookMs = performance.now() - sentMs
  expect([paused.outcome.state, paused.stamps.observed?.by], 'the task must be seen to stand still').toEqual([
    'applied',
    'agent',
  ])
  return tookMs
}

describe('given an example in a folder of its own', () => {
  const examples: [name: string, basePath: string, downlink: 'sse' | 'long-poll'][] = [
    ['node', '', 'sse'],
    ['express', '/downlink', 'sse'],
    ['fastify', '', 'sse'],
    ['hono', '/downlink', 'long-poll'],
    ['next', '/downlink', 'long-poll'],
  ]
  test.for(examples)(
    '%s > it is installed, type-checked and started, and a control is observed',
    { timeout: INSTALL_MS_MAX },
    async ([name, basePath, downlink], { skip }) => {
      const project = await install(name, skip)
      if (name === 'next') await run(NEXT[0] ?? '', [...NEXT.slice(1), 'build'], { cwd: project })
      else await run(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', project])
      const command = name === 'next' ? [...NEXT, 'start', '-p', '0', '-H', '127.0.0.1'] : SERVER
      const { example, hub } = await start(project, command, basePath)
      const token = name === 'express' ? ((await example.prints(/token (\S+)/))[1] ?? '') : PASSWORD
      const operator = createOperatorClient({ url: hub, token })

      const agent = await startAgent(hub, operator)
      await vi.waitUntil(() => agent.status().downlink === downlink, { timeout: 30_000 })
      const tookMs = await carryControls(operator, agent)
      console.log(`${name}: by ${downlink}, a pause was observed after ${Math.round(tookMs)} ms`)

      await own(name, hub.slice(0, hub.length - basePath.length), agent)
      example.child.kill('SIGTERM')
      const end = await example.ended
      if (name !== 'next') expect(end, example.text()).toBe(0)
    },
  )
})

/** What an example shows beside the hub. */
async function own(name: string, url: string, agent: Agent): Promise<void> {
  const post = (path: string): Promise<Response> =>
    fetch(`${url}/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    })
  if (name === 'node') {
    // Its own jobs go out with the syncs, which a waiting operator makes frequent.
    await post('start/box-1/job-1')
    await vi.waitUntil(() => agent.status().tasks.running === 1, { timeout: 30_000 })
    await post('end/box-1/job-1')
    await vi.waitUntil(() => agent.status().tasks.running === 0, { timeout: 30_000 })
  } else if (name === 'express') {
    const cancelled = await post('agents/box-1/tasks/nightly/cancel')
    expect(await cancelled.json()).toEqual({ state: 'applied', isObserved: true })
  } else if (name === 'fastify' || name === 'hono') {
    expect(await (await fetch(url)).text()).toBe('your own page')
  }
}
