/**
 * The packages as an adopter gets them: packed, installed in a fresh project outside the workspace, and the examples of
 * the documents type-checked and run there, on the oldest Node that is promised and on the workspace's.
 */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { packAll } from '../scripts/check-packages.ts'
import { ROOT } from '../scripts/run-command.ts'
import { installProject, NPM_FLAGS, startExample, type Example } from './adopter-project.ts'
import { documentExamples } from './document-examples.ts'

const run = promisify(execFile)

/** The oldest that `engines` of the packages promise. */
const NODE_OLDEST = '22.19.0'
const TYPESCRIPT_OLDEST = '5.9.3'
const INSTALL_MS_MAX = 240_000

const STRICT = {
  strict: true,
  skipLibCheck: false,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noImplicitOverride: true,
  noFallthroughCasesInSwitch: true,
  isolatedModules: true,
  verbatimModuleSyntax: true,
  allowImportingTsExtensions: true,
  module: 'nodenext',
  target: 'es2024',
  lib: ['es2024', 'esnext.disposable'],
  types: ['node'],
  noEmit: true,
}

let project: string
/** Why the tests cannot run here, if they cannot. */
let obstacle: string | undefined

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'downlink-packed-'))
  if (process.platform !== 'linux') {
    obstacle = `Node ${NODE_OLDEST} comes from npm on Linux only`
    return
  }
  const { tarballs, output } = await packAll(project)
  if (tarballs === undefined) throw new Error(`The packages cannot be packed: ${output}`)
  await writeProject(tarballs.map(({ name, filename }) => [name, `file:./${filename}`]))
  obstacle = await installProject(project, INSTALL_MS_MAX)
  if (obstacle !== undefined) console.log(`skipped: e2e/packed.test.ts, as ${obstacle}`)
}, INSTALL_MS_MAX)

afterAll(() => rm(project, { recursive: true, force: true }))

describe('given the packed packages in a fresh project', () => {
  const typescripts = {
    [`TypeScript ${TYPESCRIPT_OLDEST}`]: () => join(project, 'node_modules/typescript-oldest/lib/tsc.js'),
    'the TypeScript of the workspace': () => join(ROOT, 'node_modules/typescript/bin/tsc'),
  }
  test.for(Object.entries(typescripts))(
    '%s > takes the examples under strict settings',
    async ([, tsc], { skip }) => {
      skip(obstacle !== undefined, obstacle)
      const checked = run(process.execPath, [tsc(), '-p', '.'], { cwd: project })
      const verdict = await checked.then(
        () => 'no error',
        (error: Error & { stdout: string }) => `${error.stdout}${error.message}`,
      )
      expect(verdict, 'the examples must compile as they stand in the documents').toBe('no error')
    },
  )

  const nodes = {
    [`Node ${NODE_OLDEST}`]: () => join(project, 'node_modules/node-oldest/bin/node'),
    'the Node of the workspace': () => process.execPath,
  }
  test.for(Object.entries(nodes))(
    '%s > runs hub, agent, operator, test and command, and a control is applied',
    async ([, node], { skip }) => {
      skip(obstacle !== undefined, obstacle)
      const version = await run(node(), ['node_modules/downlink/bin/downlink.js', '--version'], {
        cwd: project,
      })
      expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/)

      await Promise.all(
        ['hub.db', 'hub.db-wal', 'hub.db-shm', 'agent.key', 'agent-state'].map((name) =>
          rm(join(project, name), { recursive: true, force: true }),
        ),
      )
      const hub = start(node(), 'hub.ts', { PORT: '0' })
      const [, port] = await hub.prints(/port: (\d+)/)
      const [, token = ''] = await hub.prints(/token (\S+)/)
      const url = `http://127.0.0.1:${port}`
      const reply = await fetch(`${url}/api/v1/enrollment-keys`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ agentId: 'box-1' }),
      })
      const { key } = (await reply.json()) as { key: string }

      const agent = start(node(), 'agent.ts', { DOWNLINK_HUB: url, DOWNLINK_ENROLLMENT_KEY: key })
      await agent.prints(/^ok sse/m)
      const operator = start(node(), 'operator.ts', { DOWNLINK_HUB: url, DOWNLINK_TOKEN: token })
      await operator.prints(/^applied agent$/m)
      expect(await operator.ended, operator.text()).toBe(0)
      agent.child.kill('SIGTERM')
      expect(await agent.ended, agent.text()).toBe(0)

      // It takes over the credential of the agent that has ended.
      const daemon = start(node(), 'daemon.ts', { DOWNLINK_HUB: url })
      const typed = start(node(), 'typed-operator.ts', { DOWNLINK_HUB: url, DOWNLINK_TOKEN: token })
      await typed.prints(/^applied paused$/m)
      expect(await typed.ended, typed.text()).toBe(0)
      daemon.child.kill('SIGTERM')
      await daemon.ended

      const command = startExample(
        project,
        [node(), 'node_modules/downlink/bin/downlink.js', 'hub', '--port', '0'],
        {},
      )
      await command.prints(/operator token/)
      const commandLine = await readFile(`/proc/${command.child.pid}/cmdline`, 'utf8')
      expect(
        commandLine,
        'the hub must start anew with a bound on what it may allocate before it collects',
      ).toContain('--max-semi-space-size=16')
      command.child.kill('SIGTERM')
      expect(await command.ended, command.text()).toBe(0)

      const tests = await run(node(), ['--test', 'agent.test.ts'], { cwd: project })
      expect(tests.stdout).toMatch(/pass 1\b[\s\S]*fail 0\b/)
      for (const example of ['own-tasks.ts', 'tracing.ts', 'in-process.ts', 'smallest.ts', 'connection.ts']) {
        // It exports something and runs nothing: that it can be loaded is the test.
        await run(node(), ['--input-type=module', '-e', `await import('./${example}')`], { cwd: project })
      }
    },
  )

  test('the agent > brings along the protocol and the types of Standard Schema, and no more', async ({
    skip,
  }) => {
    skip(obstacle !== undefined, obstacle)
    const lone = join(project, 'lone')
    await mkdir(lone)
    await writeFile(join(lone, 'package.json'), JSON.stringify({ private: true }))
    const files = (await readdir(project)).filter((name) =>
      /^downlink-(?:agent|protocol)-.*\.tgz$/.test(name),
    )
    await run('npm', ['install', ...NPM_FLAGS, ...files.map((name) => `../${name}`)], { cwd: lone })
    const { stdout } = await run('npm', ['ls', '--all', '--parseable'], { cwd: lone })
    const installed = stdout.trim().split('\n').slice(1)
    expect(installed.length, `it installed ${installed.join(', ')}`).toBe(3)
  })
})

async function writeProject(packages: readonly (readonly [string, string])[]): Promise<void> {
  const manifest = {
    private: true,
    type: 'module',
    dependencies: Object.fromEntries(packages),
    devDependencies: {
      '@types/node': '24.19.2',
      'node-oldest': `npm:node-linux-${process.arch}@${NODE_OLDEST}`,
      'typescript-oldest': `npm:typescript@${TYPESCRIPT_OLDEST}`,
      zod: '4.6.5',
    },
  }
  const config = { compilerOptions: STRICT, files: [...documentExamples().keys()] }
  await writeFile(join(project, 'package.json'), JSON.stringify(manifest))
  await writeFile(join(project, 'tsconfig.json'), JSON.stringify(config))
  for (const [name, code] of documentExamples()) await writeFile(join(project, name), code)
}

function start(node: string, file: string, env: Readonly<Record<string, string>>): Example {
  return startExample(project, [node, '--disable-warning=ExperimentalWarning', file], env)
}
