/** The slow attacks of slowhttptest against a hub of its own: it stays small, and an agent's controls settle meanwhile. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startDownlink, type DownlinkProcess } from './downlink-process.ts'

const CONNECTIONS = 400
const SECONDS = 6
/** Growth of the hub's memory, KiB: about 100 KiB a connection, which Node's own buffers and parsers stay far below. */
const GROWTH_KIB_MAX = 65_536

let folder: string
let hub: DownlinkProcess
let url: string
let operatorToken: string
let agentKey: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'downlink-slow-'))
  hub = startDownlink(folder, ['hub', '--port', '0', '--data', '.'])
  await hub.prints(/operator token/)
  url = /http:\S+/.exec(hub.text())?.[0] ?? ''
  operatorToken = readFileSync(join(folder, 'operator-token'), 'utf8').trim()
  const { key } = await call('POST', '/api/v1/enrollment-keys', operatorToken, {})
  const agent = { authKey: key, agentId: 'a1' }
  agentKey = String((await call('POST', '/api/internal/agent/authkey/exchange', '', agent)).apiKey)
})

afterAll(async () => {
  await hub.stop()
  await rm(folder, { recursive: true, force: true })
})

async function call(
  method: string,
  path: string,
  token: string,
  body?: unknown,
): Promise<Record<string, unknown>> {
  const response = await fetch(url + path, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return (await response.json()) as Record<string, unknown>
}

let counter = 0
/** A sync as one of our agents sends it; the hub may find them too many, and is asked again then. */
async function sync(outcomes: readonly unknown[]): Promise<Record<string, unknown>> {
  let reply: Record<string, unknown> = {}
  await expect
    .poll(async () => {
      const base = { agentId: 'a1', tasks: [], freeSlots: 0, journalId: 'j', bootNonce: 'b' }
      const body = { ...base, connectCounter: ++counter, outcomes }
      reply = await call('POST', '/api/internal/agent/sync', agentKey, body)
      return reply
    })
    .toHaveProperty('controls')
  return reply
}

/** One control, handed out by a sync and settled by the next. */
async function roundTrip(taskId: string): Promise<void> {
  const cancel = { action: 'cancel', taskId }
  const made = await call('POST', '/api/v1/agents/a1/controls', operatorToken, cancel)
  const { controls } = (await sync([])) as { controls: Record<string, unknown>[] }
  const control = controls.find(({ controlId }) => controlId === made.controlId)
  expect(control, 'the sync did not hand out the control').toBeDefined()
  const waiting = call('GET', `/api/v1/controls/${String(made.controlId)}?wait=50s`, operatorToken)
  await sync([{ ...control, state: 'applied' }])
  expect((await waiting).outcome).toEqual({ state: 'applied', confirmedBy: 'agent' })
}

function highWaterKib(): number {
  return Number(/VmHWM:\s*(\d+) kB/.exec(readFileSync(`/proc/${hub.child.pid}/status`, 'utf8'))?.[1])
}

/** Runs the tool to its end. @returns what it printed */
async function attack(args: readonly string[]): Promise<string> {
  const all = [
    '-c',
    String(CONNECTIONS),
    '-r',
    String(CONNECTIONS),
    '-l',
    String(SECONDS),
    '-p',
    '3',
    ...args,
  ]
  const child = spawn('slowhttptest', all, { cwd: folder })
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (text += String(chunk)))
  await new Promise((resolve) => child.once('close', resolve))
  return text
}

test.for([
  ['headers', ['-H', '-i', '1', '-t', 'GET', '-u', '/healthz']],
  ['body', ['-B', '-i', '1', '-t', 'POST', '-u', '/api/internal/agent/authkey/exchange']],
  ['read', ['-X', '-w', '1', '-y', '2', '-n', '1', '-z', '1', '-k', '8', '-u', '/healthz']],
] as const)(
  'given slow %s on many connections > controls settle meanwhile, and the hub stays small',
  async ([what, args]) => {
    await roundTrip(`warm-${what}`)
    const before = highWaterKib()
    let isOver = false
    const path = args.at(-1) ?? ''
    const attacking = attack([...args.slice(0, -1), url + path]).finally(() => (isOver = true))
    let trips = 0
    while (!isOver) await roundTrip(`${what}-${trips++}`)
    const text = await attacking
    expect(text, 'the attack did not run to its end, or the hub stopped answering').toMatch(
      /service available:\S*\s+\S*YES[\s\S]*Hit test time limit/,
    )
    expect(trips, 'no control settled while it was attacked').toBeGreaterThan(1)
    expect(highWaterKib() - before, 'the hub keeps too much for each slow connection').toBeLessThan(
      GROWTH_KIB_MAX,
    )
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
  },
)
