/** Requests that never end, against a hub of its own: it cuts or answers them, stays small, and an agent's controls settle meanwhile. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startAttackedHub, type AttackedHub } from './attacked-hub.ts'
import { flood, type EndlessBytes } from './endless-sender.ts'

const CONNECTIONS = 10
const FLOOD_BYTES = 200_000_000
/** Flood by which V8's young generation has grown to what it keeps, bytes. */
const WARM_UP_BYTES = 600_000_000
/** What that generation and the buffers of its garbage may take in all, KiB; parts that were held would take gigabytes. */
const WARM_UP_KIB_MAX = 409_600
/** Growth of the hub's memory beyond its highest so far, by one attack more, KiB: V8 doubles that generation when it sees fit. */
const GROWTH_KIB_MAX = 65_536
const PIECE_BYTES = 65_536

/** How a connection may end: without a reply, refused, or cut behind a reply that did not need the body. */
const ENDINGS = new Set(['cut', '200', '400', '408', '413', '429', '431'])

let hub: AttackedHub
/** Resident memory before the first attack, and the highest of all attacks so far, KiB. */
let coldKib = 0
let highKib = 0
/** One agent for each connection, so that the limit of one agent's requests is not what ends a flood. */
let keys: readonly string[]

beforeAll(async () => {
  hub = await startAttackedHub()
  keys = await Promise.all(Array.from({ length: CONNECTIONS }, (_, n) => hub.enroll(`hostile-${n}`)))
})
afterAll(() => hub[Symbol.asyncDispose]())

const piece = (part: string): Buffer => Buffer.from(part.repeat(Math.ceil(PIECE_BYTES / part.length)))
const head = (path: string, token: string, rest: string): string =>
  `POST ${path} HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer ${token}\r\n${rest}`
const chunked = 'content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n'
const sync = (sender: number, rest: string): string =>
  head('/api/internal/agent/sync', keys[sender] ?? '', rest)

const FLOODS: Readonly<Record<string, (sender: number) => EndlessBytes>> = {
  'a body': (sender) => ({ head: sync(sender, chunked), more: piece(`1000\r\n${' '.repeat(4_096)}\r\n`) }),
  'chunks of one byte': (sender) => ({ head: sync(sender, chunked), more: piece('1\r\n \r\n') }),
  'chunks of one byte to the operators’ API': () => ({
    head: head('/api/v1/enrollment-keys', hub.operatorToken, chunked),
    more: piece('1\r\n \r\n'),
  }),
  'chunks of one byte behind a stream': (sender) => ({
    head: `GET /api/internal/agent/events HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer ${keys[sender] ?? ''}\r\n${chunked}`,
    more: piece('1\r\n \r\n'),
  }),
  'a body of a stranger': () => ({
    head: `GET /healthz HTTP/1.1\r\nhost: hub\r\n${chunked}`,
    more: piece(`1000\r\n${' '.repeat(4_096)}\r\n`),
  }),
  'chunks that are mostly extensions': (sender) => ({
    head: sync(sender, chunked),
    more: piece(`1;${'x'.repeat(16_000)}\r\n \r\n`),
  }),
  trailers: (sender) => ({ head: `${sync(sender, chunked)}0\r\n`, more: piece(`x: ${'y'.repeat(900)}\r\n`) }),
  'a chunk extension': (sender) => ({ head: `${sync(sender, chunked)}1;`, more: piece('x') }),
  headers: (sender) => ({ head: sync(sender, ''), more: piece(`x: ${'y'.repeat(900)}\r\n`) }),
  'a body to the operators’ API': () => ({
    head: `${head('/api/v1/enrollment-keys', hub.operatorToken, chunked)}7\r\n{"pad":\r\n1\r\n"\r\n`,
    more: piece(`1000\r\n${'x'.repeat(4_096)}\r\n`),
  }),
}
const NAMES = Object.keys(FLOODS)
/** All of them, one a connection. */
const allOf = (sender: number): EndlessBytes =>
  FLOODS[NAMES[sender % NAMES.length] ?? '']?.(sender) ?? { head: '', more: Buffer.alloc(1) }

async function attack(
  name: string,
  task: string,
  bytesOf: (sender: number) => EndlessBytes,
  { bytesMin = FLOOD_BYTES, isReading = true } = {},
): Promise<number> {
  hub.resetHighWater()
  let isOver = false
  const options = { url: hub.url, connections: CONNECTIONS, bytesMin, isReading }
  const flooding = flood(bytesOf, options).finally(() => (isOver = true))
  let trips = 0
  while (!isOver) {
    await hub.roundTrip(`${task}-${trips++}`)
    expect((await fetch(`${hub.url}/healthz`)).status).toBe(200)
  }
  const { bytes, connections, endings } = await flooding
  const nowKib = hub.highWaterKib()
  const growthKib = nowKib - highKib
  highKib = Math.max(highKib, nowKib)
  const told = [...endings].map(([ending, count]) => `${count} × ${ending}`).join(', ')
  console.log(
    `measured: ${name} without end: ${Math.round(bytes / 1e6)} MB on ${connections} connections (${told}), ` +
      `${trips} controls settled meanwhile, at most ${nowKib} KiB resident, ${growthKib} KiB more than ever before`,
  )
  const wrong = [...endings.keys()].filter((ending) => !ENDINGS.has(ending))
  expect(wrong, 'a connection was neither cut nor refused').toEqual([])
  expect(trips, 'no control settled while it was attacked').toBeGreaterThan(0)
  expect(hub.command.text(), 'something failed inside the hub').not.toMatch(/warn|error|reject/i)
  expect(nowKib - coldKib, 'the hub holds what never ends').toBeLessThan(WARM_UP_KIB_MAX)
  return growthKib
}

test('given a hub > when chunks of one byte come without end > it takes what V8 keeps for garbage, and no more', async () => {
  await hub.roundTrip('first')
  coldKib = hub.highWaterKib()
  highKib = coldKib
  // Of all these it makes the most garbage.
  const what = 'chunks of one byte'
  await attack(`${what}, cold,`, 'warm', FLOODS[what] ?? allOf, { bytesMin: WARM_UP_BYTES })
})

test.for([
  ...NAMES.map((name, n) => [name, FLOODS[name] ?? allOf, true, n] as const),
  ['all of these, whose sender reads no reply,', allOf, false, NAMES.length] as const,
])(
  'given %s without end on ten connections > they are cut, controls settle, and the hub stays small',
  async ([name, bytesOf, isReading, n]) => {
    const growthKib = await attack(name, `t${n}`, bytesOf, { isReading })
    expect(growthKib, 'the hub keeps too much of a request that never ends').toBeLessThan(GROWTH_KIB_MAX)
  },
)
