/** The slow attacks of slowhttptest against a hub of its own: it stays small, and an agent's controls settle meanwhile. */
import { spawn } from 'node:child_process'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startAttackedHub, type AttackedHub } from './attacked-hub.ts'

const CONNECTIONS = 400
const SECONDS = 6
/** Growth of the hub's memory, KiB: about 100 KiB a connection, which Node's own buffers and parsers stay far below. */
const GROWTH_KIB_MAX = 65_536

let hub: AttackedHub

beforeAll(async () => {
  hub = await startAttackedHub()
})
afterAll(() => hub[Symbol.asyncDispose]())

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
  const child = spawn('slowhttptest', all, { cwd: hub.folder })
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
    await hub.roundTrip(`warm-${what}`)
    const before = hub.highWaterKib()
    let isOver = false
    const path = args.at(-1) ?? ''
    const attacking = attack([...args.slice(0, -1), hub.url + path]).finally(() => (isOver = true))
    let trips = 0
    while (!isOver) await hub.roundTrip(`${what}-${trips++}`)
    const text = await attacking
    expect(text, 'the attack did not run to its end, or the hub stopped answering').toMatch(
      /service available:\S*\s+\S*YES[\s\S]*Hit test time limit/,
    )
    expect(trips, 'no control settled while it was attacked').toBeGreaterThan(1)
    expect(hub.highWaterKib() - before, 'the hub keeps too much for each slow connection').toBeLessThan(
      GROWTH_KIB_MAX,
    )
    expect((await fetch(`${hub.url}/healthz`)).status).toBe(200)
  },
)
