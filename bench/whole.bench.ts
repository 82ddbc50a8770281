/** The whole on one machine: an operator's request, applied by the agent SDK, settled at the operator; beside a raw round trip and one fsync. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { startChild, type Child } from './child.ts'
import type { Effort } from './codec.bench.ts'
import { fsyncTimesUs, percentile } from './fleet/fsync.ts'
import { dropScratch, scratchFolder } from './fleet/scratch.ts'
import { startOurs, type OurHub } from './fleet/subject.ts'
import type { Row } from './report.ts'
import { ratioOf, spread, spreadOf } from './rounds.ts'

const CONTROLS = 300
const QUICK_CONTROLS = 30
const HEARTBEAT_MS = 15_000
/** About what a request of an operator has. */
const ROUND_TRIP_BYTES = 300
/** Until what runs once has run. */
const WARM_UP = 50

/** Seconds of one round. */
export const WHOLE_ROUND_S = 12

interface Times {
  readonly whole: readonly number[]
  readonly roundTrip: readonly number[]
  readonly fsync: readonly number[]
}

export async function wholeRows({ rounds, quick }: Effort, onRow: (row: Row) => void): Promise<Row[]> {
  const count = quick ? QUICK_CONTROLS : CONTROLS
  return withWhole(async (whole) => {
    await using echo = startChild('whole-echo.ts')
    const { port } = (await echo.ask({})) as { port: number }
    await controlTimesUs(whole, 'warm', WARM_UP)
    const measured: Times[] = []
    for (let round = 0; round < rounds; round += 1) {
      measured.push({
        roundTrip: await roundTripTimesUs(port, count),
        fsync: fsyncTimesUs(count),
        whole: await controlTimesUs(whole, `r${round}`, count),
      })
      console.error(`round ${round + 1} of ${rounds}`)
    }
    const rows = [rowAt('p50', 0.5, measured, 6), rowAt('p99', 0.99, measured, undefined)]
    rows.forEach(onRow)
    return rows
  })
}

/** Hub, agent with an open stream, and the connection of an operator. */
export interface Whole {
  readonly hub: OurHub
  readonly agent: Child
  readonly operator: Agent
}

/** Starts the whole for as long as `work` takes. */
export async function withWhole<T>(work: (whole: Whole) => Promise<T>): Promise<T> {
  await using hub = await startOurs({ streams: 1, heartbeatMs: HEARTBEAT_MS })
  const [key = ''] = readFileSync(hub.files.keysFile, 'utf8').split('\n', 1)
  const folder = scratchFolder('agent')
  const operator = new Agent({ keepAlive: true, maxSockets: 1 })
  try {
    await using agent = startChild('whole-agent.ts', [hub.url, key, folder])
    await agent.ask({})
    return await work({ hub, agent, operator })
  } finally {
    operator.destroy()
    dropScratch(folder)
  }
}

function rowAt(title: string, part: number, measured: readonly Times[], reach: number | undefined): Row {
  const rounds = measured.map(({ whole, roundTrip, fsync }) => ({
    'operator → applied → settled': percentile(whole, part),
    'raw round trip': percentile(roundTrip, part),
    'one fsync': percentile(fsync, part),
    floor: percentile(roundTrip, part) + percentile(fsync, part),
  }))
  return {
    suite: 'whole',
    name: `operator → applied → settled, ${title}, µs, beside a raw round trip and one fsync`,
    unit: '×',
    result: ratioOf(rounds, 'operator → applied → settled', 'floor'),
    target: reach === undefined ? undefined : { is: 'at most', value: reach },
    figures: {
      'operator → applied → settled': spreadOf(rounds, 'operator → applied → settled'),
      'raw round trip': spreadOf(rounds, 'raw round trip'),
      'one fsync': spread(rounds.map((round) => round['one fsync'])),
    },
  }
}

/** Controls one after the other, each until the operator's own request says that it is applied. */
export async function controlTimesUs(
  { hub, operator }: Whole,
  prefix: string,
  count: number,
): Promise<readonly number[]> {
  const times: number[] = []
  for (let number = 0; number < count; number += 1) {
    const began = process.hrtime.bigint()
    const body = await post(hub, operator, { action: 'cancel', taskId: `${prefix}-${number}` })
    times.push(microsecondsSince(began))
    const { outcome } = JSON.parse(body) as { outcome?: { state?: string } }
    if (outcome?.state !== 'applied') throw new Error(`A control was not applied: ${body.slice(0, 300)}`)
  }
  return times.toSorted((a, b) => a - b)
}

function post({ url, files }: OurHub, agent: Agent, control: object): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${files.token}`, 'content-type': 'application/json' }
    const sent = request(`${url}/api/v1/agents/a0/controls?wait=10s&until=applied`, {
      method: 'POST',
      agent,
      headers,
    })
    sent.once('error', reject)
    sent.once('response', (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part: string) => (text += part))
      response.once('error', reject)
      response.once('end', () => resolve(text))
    })
    sent.end(JSON.stringify(control))
  })
}

async function roundTripTimesUs(port: number, count: number): Promise<readonly number[]> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.setNoDelay(true)
  const bytes = Buffer.alloc(ROUND_TRIP_BYTES, 'x')
  const times: number[] = []
  for (let number = 0; number < count; number += 1) {
    const began = process.hrtime.bigint()
    const back = allBack(socket, bytes.length)
    socket.write(bytes)
    await back
    times.push(microsecondsSince(began))
  }
  socket.destroy()
  return times.toSorted((a, b) => a - b)
}

function allBack(socket: Socket, length: number): Promise<void> {
  return new Promise((resolve) => {
    let got = 0
    const hear = (chunk: Buffer): void => {
      got += chunk.length
      if (got < length) return
      socket.off('data', hear)
      resolve()
    }
    socket.on('data', hear)
  })
}

function microsecondsSince(began: bigint): number {
  return Number(process.hrtime.bigint() - began) / 1e3
}
