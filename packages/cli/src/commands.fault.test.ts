/** Tests of the operators' commands against a small server on loopback: requests, output and exit codes. */
import { systemClock, type Json } from '@downlink/protocol'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { dataFolder, makePrivateFolder, writeHubUrl, writePrivateFile } from './discovery.ts'
import { createOutput } from './output.ts'
import { runCommand } from './program.ts'

interface Reply {
  readonly status: number
  readonly body: Json
}

let cwd: string
let server: Server
let requests: string[]
let reply: (request: string) => Reply

beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'downlink-commands-'))
  requests = []
  server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const text =
        `${request.method ?? ''} ${request.url ?? ''} ${Buffer.concat(chunks).toString('utf8')}`.trim()
      requests.push(text)
      const { status, body } = reply(text)
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const folder = dataFolder(cwd)
  await makePrivateFolder(folder.path)
  await writeHubUrl(folder, new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
  await writePrivateFile(folder.tokenFile, 'dlo.keykeykey.secretsecret\n')
})

afterEach(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await rm(cwd, { recursive: true })
})

async function downlink(
  args: readonly string[],
  stdin = '',
): Promise<{ code: number; out: string; err: string }> {
  const out: string[] = []
  const err: string[] = []
  const target = (into: string[]) => ({ write: (text: string) => void into.push(text), isTerminal: false })
  const code = await runCommand(
    args,
    {
      output: createOutput({ stdout: target(out), stderr: target(err), color: false }),
      cwd,
      clock: systemClock,
      random: () => 0,
      readStdin: () => Promise.resolve(stdin),
      stopSignal: () => new AbortController().signal,
    },
    '1.2.3',
  )
  return { code, out: out.join(''), err: err.join('') }
}

function control(outcome: Json, more: Record<string, Json> = {}): Reply {
  const stamps = { created: { at: '2026-01-01T00:00:00.000Z', by: 'ann' } }
  const ids = { controlId: 'a1~1', agentId: 'a1', taskId: 't1', action: 'pause', lane: 'state' }
  return { status: 200, body: { ...ids, args: null, epoch: 1, revision: 1, outcome, stamps, ...more } }
}

const observed = { stamps: { observed: { at: '2026-01-01T00:00:01.000Z', by: 'agent' } } }
const applied = { state: 'applied', confirmedBy: 'agent' }

test('given a control without --wait > it is accepted and the exit code is 0', async () => {
  reply = () => control({ state: 'pending' })
  const { code, out } = await downlink(['pause', 'a1', 't1', '--ttl', '1h'])
  expect(code).toBe(0)
  expect(out).toMatch(/^Accepted: pause of t1 on a1 \(control a1~1\)/)
  expect(requests).toEqual([
    'POST /api/v1/agents/a1/controls {"action":"pause","taskId":"t1","ttlMs":3600000}',
  ])
})

test('given --wait > the hub is asked to wait until it is observed', async () => {
  reply = () => control(applied, observed)
  const { code, out } = await downlink(['pause', 'a1', 't1', '--wait'])
  expect(code).toBe(0)
  expect(out).toMatch(/^t1 on a1 is paused; known \d+ ms after the request\.\n$/)
  expect(requests[0]).toMatch(/\?wait=\d+ms&until=observed /)
})

test.each<[string, Reply, number, RegExp]>([
  [
    'failed',
    control({ state: 'failed', code: 'not_pausable', message: 'No.' }),
    1,
    /failed: No\. \(not_pausable\)/,
  ],
  ['too late', control(applied, { endedOtherwise: true }), 1, /came too late: the task had ended by itself/],
  ['expired', control({ state: 'expired' }), 1, /expired/],
  [
    'superseded',
    control({ state: 'superseded', byControlId: 'a1~2' }, { mayHaveApplied: true }),
    1,
    /a1~2.*may still/,
  ],
  ['applied, never observed', control(applied), 5, /Not known yet/],
  ['pending', control({ state: 'pending' }), 5, /has not fetched it/],
  ['unconfirmed', control({ state: 'delivered' }, { unconfirmed: true }), 5, /confirms nothing/],
])('given a control that ends %s > the exit code and the sentence say so', async (_, answer, code, said) => {
  reply = () => answer
  const result = await downlink(['pause', 'a1', 't1', '--wait', '1ms'])
  expect(result.err).toMatch(said)
  expect(result.code).toBe(code)
})

test('given a cancel that meets an open one > that one is followed', async () => {
  reply = (request) =>
    request.startsWith('POST')
      ? { status: 409, body: { error: 'task_cancelling', message: 'Open.', details: { controlId: 'a1~9' } } }
      : control(applied, { ...observed, action: 'cancel', controlId: 'a1~9' })
  const { code, out, err } = await downlink(['cancel', 'a1', 't1', '--wait'])
  expect(code).toBe(0)
  expect(out).toMatch(/is cancelled/)
  expect(err).toMatch(/under way already: a1~9/)
  expect(requests[1]).toBe('GET /api/v1/controls/a1~9')
})

test('given a pause that meets an open cancel > it is refused with the hub\u2019s own sentence', async () => {
  reply = () => ({ status: 409, body: { error: 'task_cancelling', message: 'A cancel is open.' } })
  const { code, err } = await downlink(['pause', 'a1', 't1'])
  expect(code).toBe(4)
  expect(err).toBe('Refused: A cancel is open. (task_cancelling)\n')
})

test('given a token that the hub does not know > the exit code is 4 and the token is not shown', async () => {
  reply = () => ({ status: 401, body: { error: 'unauthorized', message: 'No.' } })
  const { code, err } = await downlink(['agents'])
  expect(code).toBe(4)
  expect(err).toContain('./.downlink/operator-token')
  expect(err).not.toContain('secretsecret')
})

test('given no hub listens any more > the exit code is 3 and the remedy is named', async () => {
  await new Promise((resolve) => server.close(resolve))
  const { code, err } = await downlink(['agents'])
  expect(code).toBe(3)
  expect(err).toMatch(/No hub answers at http:\/\/127\.0\.0\.1:\d+\. .*downlink up/)
})

test('given one agent > its path, and when it came and went and why, the last change first', async () => {
  const transitions = [
    { at: '2026-01-01T00:00:00.000Z', status: 'online', reason: 'seen' },
    { at: '2026-01-01T00:01:00.000Z', status: 'cloned', reason: 'two-copies' },
    { at: '2026-01-01T00:02:00.000Z', status: 'late', reason: 'of a later\nversion' },
  ]
  const path = {
    verdict: 'buffered',
    lagMs: 2_500,
    sentence: 'Something holds back.',
    remedy: 'Switch it off.',
  }
  const agent = {
    agentId: 'a1',
    status: 'late',
    transport: 'stream',
    labels: { region: 'eu' },
    roundTripMs: 84,
    lagMs: 3_100,
    path,
    openControls: 1,
    taskCount: 2,
    transitions,
  }
  reply = () => ({ status: 200, body: agent })
  const { code, out } = await downlink(['agents', 'a1'])
  expect([code, requests]).toEqual([0, ['GET /api/v1/agents/a1']])
  expect(out).toMatch(/^round trip +84 ms\nlag +3\.1 s\npath +Something holds back\. Switch it off\.$/m)
  expect(out.split('\n').slice(-5)).toEqual([
    expect.stringMatching(/^SINCE +STATUS +WHY$/),
    expect.stringMatching(/^2026-01-01T00:02:00\.000Z +late +of a later\S+version$/),
    expect.stringMatching(
      /^2026-01-01T00:01:00\.000Z +cloned +two copies of it show life; stop one of them$/,
    ),
    expect.stringMatching(/^2026-01-01T00:00:00\.000Z +online +it sent something$/),
    '',
  ])
  expect(JSON.parse((await downlink(['agents', 'a1', '--json'])).out)).toEqual(agent)
  reply = () => ({ status: 200, body: { ...agent, transitions: 'none' } })
  expect((await downlink(['agents', 'a1'])).code, 'not what a hub says').not.toBe(0)
})

test('given agents with hostile names > the listing is one line each, and --json is one document each', async () => {
  const agent = {
    agentId: 'a1',
    status: 'online',
    transport: 'stream',
    labels: { zone: 'eu\u001b[2J\n' },
    openControls: 0,
    taskCount: 2,
  }
  reply = () => ({ status: 200, body: { items: [agent, { ...agent, agentId: 'a2' }] } })
  const people = await downlink(['agents', '--status', 'online'])
  expect(people.out.split('\n')).toHaveLength(4)
  expect(people.out).toContain('zone=eu\\x1b[2J\\n')
  expect(requests).toEqual(['GET /api/v1/agents?status=online'])
  const { out } = await downlink(['agents', '--json'])
  const lines = out.trimEnd().split('\n')
  expect(lines.map((line) => JSON.parse(line) as Json)).toEqual([agent, { ...agent, agentId: 'a2' }])
})

test('given input on standard input > it is sent as the task\u2019s input', async () => {
  reply = () => ({ status: 201, body: { agentId: 'a1', taskId: 't9', state: 'assigned' } })
  const { code, out } = await downlink(['run', 'a1', 'archive', '--input', '-', '--json'], '{"folder":"/x"}')
  expect(code).toBe(0)
  expect(JSON.parse(out)).toEqual({ agentId: 'a1', taskId: 't9', kind: 'archive' })
  expect(requests).toEqual(['POST /api/v1/agents/a1/tasks {"kind":"archive","input":{"folder":"/x"}}'])
})

test('given tokens > they are made with their scopes, listed without their texts, and revoked by id', async () => {
  const record = {
    id: 'id1',
    name: 'ci',
    scopes: ['read', 'run'],
    state: 'usable',
    createdAt: '2026-01-01T00:00:00.000Z',
    createdBy: 'ann',
  }
  reply = (request) =>
    request.startsWith('POST')
      ? { status: 201, body: { ...record, token: 'dlo.id1id1id1.secretsecret' } }
      : { status: 200, body: { items: [record] } }
  const scopes = ['--scope', 'read', '--scope', 'run']
  const made = await downlink(['token', 'create', '--name', 'ci', ...scopes, '--expires', '1d'])
  expect(made.out, 'a shell must be able to put it into a file').toBe('dlo.id1id1id1.secretsecret\n')
  const listed = await downlink(['token', 'list'])
  expect(listed.out).toMatch(/id1 +ci +read,run +usable +\d+ d ago +ann +never +never/)
  expect((await downlink(['token', 'revoke', 'id1'])).code).toBe(0)
  expect(requests).toEqual([
    'POST /api/v1/operator-tokens {"name":"ci","scopes":["read","run"],"ttlMs":86400000}',
    'GET /api/v1/operator-tokens',
    'DELETE /api/v1/operator-tokens/id1',
  ])
})

test('given an export that was cut short > the next one takes the torn line off and goes on where the file ends', async () => {
  const fact = (id: number): Json => ({
    id: String(id),
    at: '2026-01-01T00:00:00.000Z',
    kind: 'k',
    data: { id },
  })
  const facts = Array.from({ length: 7 }, (_, index) => fact(index + 1))
  reply = (request) => {
    const after = Number(/cursor=(\d+)/.exec(request)?.[1] ?? 0)
    const items = facts.slice(after, after + 2)
    const last = after + items.length
    return { status: 200, body: { items, ...(last < facts.length ? { nextCursor: String(last) } : {}) } }
  }
  const file = join(cwd, 'audit.jsonl')
  await writeFile(
    file,
    `${JSON.stringify(fact(1))}\n${JSON.stringify(fact(2))}\n${JSON.stringify(fact(3)).slice(0, 9)}`,
  )
  const first = await downlink(['audit', '--export', 'audit.jsonl'])
  expect(first).toMatchObject({
    code: 0,
    out: '5 facts were added to audit.jsonl; the next export goes on from there.\n',
  })
  expect(requests[0], 'without --since it is all of it').toBe('GET /api/v1/audit?cursor=2')
  const read = async (): Promise<unknown[]> =>
    (await readFile(file, 'utf8'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown)
  expect(await read()).toEqual(facts)
  facts.push(fact(8))
  expect((await downlink(['audit', '--export', 'audit.jsonl', '--json'])).out).toBe(
    '{"file":"audit.jsonl","count":1,"lastId":"8"}\n',
  )
  expect(await read()).toEqual(facts)
  await downlink(['audit', '--export', 'new.jsonl'])
  expect(await readFile(join(cwd, 'new.jsonl'), 'utf8')).toBe(await readFile(file, 'utf8'))
  await writeFile(file, 'my notes\n')
  expect((await downlink(['audit', '--export', 'audit.jsonl'])).code, 'it is somebody else\u2019s file').toBe(
    2,
  )
  expect(await readFile(file, 'utf8')).toBe('my notes\n')
})

test('given a log that lost lines while it was followed > the gap is told, and a failed task ends with 1', async () => {
  const logs = [
    { firstLine: 0, nextLine: 2, lines: ['one', 'two'] },
    { firstLine: 5, nextLine: 6, lines: ['six'] },
  ]
  reply = (request) =>
    request.endsWith('/log')
      ? { status: 200, body: logs.shift() ?? null }
      : { status: 200, body: { items: [{ agentId: 'a1', taskId: 't1', state: 'failed' }] } }
  const { code, out, err } = await downlink(['logs', 'a1', 't1', '--follow'])
  expect(out).toBe('one\ntwo\nsix\n')
  expect(err).toBe('3 lines were not kept.\nt1: failed.\n')
  expect(code).toBe(1)
})

test.each([
  [['pause', 'a1']],
  [['pauze', 'a1', 't1']],
  [['pause', '--wait', 'a1', 't1']],
  [['pause', 'a1', 't1', '--ttl', '5']],
  [['hub', '--port', '70000']],
  [['hub', '--heartbeat', '1m']],
  [['hub', '--log', 'xml']],
  [['hub', '--behind', 'proxy.example.com']],
  [['hub', '--log-level', 'loud']],
  [['hub', '--history', '1m']],
  [['hub', '--key-age', '1m']],
  [['hub', '--accept-rate', '0']],
  [['hub', '--agent-rate', '9999999']],
  [['agent', '--hub', 'http://127.0.0.1:9', '--ca', 'no-such-file']],
  [['enroll', '--uses', '0']],
  [['token']],
  [['token', 'create', '--name', 'x']],
  [['token', 'create', '--name', 'x', '--scope', 'root']],
  [['token', 'create', '--name', 'x', '--scope', 'read', '--expires', '0s']],
  [['run', 'a1', 'x', '--input', '{']],
  [['agents', '--hub', 'https://hub.example.com']],
])('given the wrong command line %j > the exit code is 2 and nothing is sent', async (args) => {
  const { code, err, out } = await downlink(args)
  expect(code).toBe(2)
  expect(err.trimEnd(), 'say what is wrong in one line').not.toBe('')
  expect(out).toBe('')
  expect(requests).toEqual([])
})

test('given --help and --version > they go to standard output with exit code 0', async () => {
  expect(await downlink(['--version'])).toEqual({ code: 0, out: '1.2.3\n', err: '' })
  const { code, out } = await downlink(['cancel', '--help'])
  expect(code).toBe(0)
  expect(out).toContain('Exit codes: 0 done')
})
