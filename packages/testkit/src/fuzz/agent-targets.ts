/** The agent's end: replies and streams of a hub that sends anything at all, over a transport in memory; and its own files. */
import {
  createAgentClient,
  createBoot,
  openEventStream,
  type AgentClient,
  type AgentTransport,
  type TransportReply,
} from '@downlink/agent'
import { encodeRecord, Ledger, readRecords, type LedgerRecord } from '@downlink/agent/internal'
import {
  DownlinkError,
  downlinkEvent,
  HttpError,
  limits,
  parseSyncReply,
  type DownlinkEvent,
  type Json,
} from '@downlink/protocol'
import { Readable } from 'node:stream'
import { inspect, isDeepStrictEqual } from 'node:util'
import { crc32 } from 'node:zlib'
import { createTestClock } from '../test-clock.ts'
import type { Chance } from './chance.ts'
import { check, type FuzzTarget } from './fuzz-target.ts'
import { jsonBytes } from './json-text.ts'
import { checkMessage } from './plain-json.ts'
import { decodeByTheStandard } from './reference-decoder.ts'
import { OTHER_REPLIES, SYNC_REPLIES } from './samples.ts'
import { cut, streamBytes } from './stream-bytes.ts'

const KEY = 'dla.a1.fuzzed.secret-that-must-not-be-seen'
const REPLIES = [...SYNC_REPLIES, ...OTHER_REPLIES] as unknown as readonly [Json, ...Json[]]
const STATUSES = [
  200, 200, 200, 200, 200, 204, 301, 400, 401, 403, 409, 410, 412, 429, 500, 502, 503,
] as const
const HEADERS: readonly [Record<string, string>, ...Record<string, string>[]] = [
  { 'content-type': 'application/json' },
  { 'content-type': 'text/html' },
  { 'content-encoding': 'gzip' },
  { 'content-length': '99999999999999999999' },
  { 'content-length': '-1' },
  { 'retry-after': '1e9' },
  { 'retry-after': 'Fri, 31 Dec 9999 23:59:59 GMT', date: 'never' },
  { location: 'https://elsewhere.test/\u0007' },
  { __proto__: 'x', 'set-cookie': 'a' },
]

function clientOf(reply: () => TransportReply): AgentClient {
  const transport: AgentTransport = { request: () => Promise.resolve(reply()) }
  return createAgentClient({
    hubs: ['http://127.0.0.1:1'],
    credential: () => KEY,
    boot: createBoot((size) => new Uint8Array(size)),
    clock: createTestClock(),
    random: () => 0,
    transport,
  })
}

/** Any reply to any call: what its type says, or an error with a code that shows no key. */
export const agentReplies: FuzzTarget = {
  name: 'agent-replies',
  generate: (chance) => jsonBytes(chance, REPLIES),
  async run(input, chance) {
    const text = Buffer.from(input).toString('latin1')
    const echo = chance.oneIn(8) ? Buffer.from(text + KEY, 'latin1') : input
    const status = chance.pick(STATUSES)
    const headers = chance.pick(HEADERS)
    const chunks = cut(chance, echo)
    const client = clientOf(() => ({ status, headers, body: Readable.from(chunks) }))
    const sync = { agentId: 'a1', tasks: [], freeSlots: 0, outcomes: [], received: [], decisions: [] }
    const reply = await expected(() => client.sync(sync))
    if (reply !== undefined) {
      checkMessage('the sync reply', reply, (again) => parseSyncReply(again as unknown as Json))
    }
    check(
      [true, false, undefined].includes(await expected(() => client.wake())),
      'wake is neither true nor false',
    )
    const registered = await expected(() => client.register({ agentId: 'a1' }))
    check(['string', 'undefined'].includes(typeof registered?.agentKey), 'a key that is no text')
    const exchanged = await expected(() => client.exchangeKey({ authKey: KEY, agentId: 'a1' }))
    if (exchanged !== undefined) check(exchanged.apiKey.length > 0, 'an empty key')
    await expected(() => client.deregister({ agentId: 'a1' }))
    await client.close()
  },
}

/** Any stream: the events of the reference, then its end, or the bound that it passed. */
export const agentStream: FuzzTarget = {
  name: 'agent-stream',
  generate: streamBytes,
  async run(input, chance) {
    const chunks = cut(chance, input).filter(({ length }) => length > 0)
    const headers = { 'content-type': 'text/event-stream' }
    const client = clientOf(() => ({ status: 200, headers, body: Readable.from(chunks) }))
    const stream = await openEventStream(client)
    const events: DownlinkEvent[] = []
    for await (const event of stream) events.push(event)
    const end = await stream.closed
    await client.close()
    const reports = decodeByTheStandard(input, {
      lineBytesMax: limits.SSE_LINE_BYTES_MAX,
      eventBytesMax: limits.SSE_EVENT_BYTES_MAX,
      blockBytesMax: limits.SSE_BLOCK_BYTES_MAX,
      blockLinesMax: limits.SSE_BLOCK_LINES_MAX,
    })
    const meant = reports.flatMap((report): DownlinkEvent[] => {
      if (report.type === 'event') return [downlinkEvent(report.name, report.data)]
      return report.type === 'comment' ? [{ type: 'ping', comment: report.text }] : []
    })
    check(
      isDeepStrictEqual(events, meant),
      `${events.length} events came, not the ${meant.length} that were sent`,
    )
    const isDrained = meant.some(({ type }) => type === 'drain')
    const isLimit = reports.at(-1)?.type === 'error'
    check(end.reason === (isLimit ? 'limit' : isDrained ? 'drained' : 'ended'), `it ended as ${end.reason}`)
    check(
      stream.retryMs === undefined || stream.retryMs <= limits.RETRY_MS_MAX,
      'a retry time beyond its bound',
    )
    check(stream.heartbeatMs >= limits.HEARTBEAT_MS_MIN, 'a heartbeat below its bound')
  },
}

const CONTROL = {
  controlId: 'a1~1',
  epoch: 1,
  revision: 1,
  lane: 'state',
  action: 'pause',
  taskId: 't1',
  args: null,
} as const
const RECORDS: readonly LedgerRecord[] = [
  { type: 'journal', journalId: 'j' },
  { type: 'task', taskId: 't1', kind: 'k', input: { path: '/' } },
  { type: 'facts', taskId: 't1', facts: { pid: 7 } },
  { type: 'intent', control: CONTROL, delivery: 'atLeastOnce' },
  { type: 'outcome', controlId: 'a1~1', outcome: { state: 'applied' } },
  { type: 'decision', decisionId: 'd', taskId: 't1', action: 'cancel', basedOn: { epoch: 1, revision: 1 } },
  { type: 'forget', ids: ['a1~1', 'd'] },
  { type: 'lane', taskId: 't1', lane: 'state', mark: { epoch: 1, revision: 1 } },
  { type: 'intended', taskId: 't1', state: 'paused' },
  { type: 'end', taskId: 't1', end: { status: 'completed' }, wallMs: 5 },
  { type: 'drop', taskId: 't1', wallMs: 6 },
]

/** Any journal file: what can be believed of it, which makes a ledger and is what was written, and whether it is damaged. */
export const journal: FuzzTarget = {
  name: 'journal',
  generate(chance) {
    const lines = Array.from({ length: chance.size(12) }, () => line(chance))
    const bytes = Buffer.from(
      encodeRecord(RECORDS[0] ?? { type: 'journal', journalId: 'j' }) + lines.join(''),
    )
    if (chance.oneIn(2)) return bytes
    return chance.oneIn(2) ? bytes.subarray(0, chance.below(bytes.length)) : flipped(chance, bytes)
  },
  run(input) {
    const text = Buffer.from(input).toString('utf8')
    const { records, damaged } = readRecords(text)
    const written = records.map(encodeRecord).join('')
    check(text.startsWith(written), 'a record was read that was never written so')
    check(
      damaged || !text.slice(written.length).includes('\n'),
      'a line that cannot be read was taken for a torn one',
    )
    if (records[0]?.type === 'journal')
      check(new Ledger(records).state.journalId === records[0].journalId, 'another journal')
  },
}

/** A line that was written, or one with a right checksum that this version never writes. */
function line(chance: Chance): string {
  const known = RECORDS[chance.below(RECORDS.length)]
  if (known !== undefined && !chance.oneIn(6)) return encodeRecord(known)
  const json = chance.pick([
    '',
    '{',
    'null',
    '7',
    '[]',
    '{}',
    '{"type":7}',
    '{"type":"new"}',
    '{"type":"toString"}',
    '\ud800',
  ])
  return `${crc32(json).toString(16).padStart(8, '0')} ${json}\n`
}

function flipped(chance: Chance, bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes)
  copy[chance.below(copy.length)] = chance.below(256)
  return copy
}

/** What `call` resolves to, or undefined for an error as it is documented. */
async function expected<T>(call: () => Promise<T>): Promise<T | undefined> {
  try {
    return await call()
  } catch (error) {
    if (!(error instanceof DownlinkError)) throw error
    check(/^[a-z][a-z0-9_]{0,63}$/.test(error.code), `the code ${error.code}`)
    check(!inspect(error, { depth: 6 }).includes(KEY), 'an error shows the key')
    check(error.message.length < 4 * limits.MESSAGE_CHARS_MAX, 'a message without bound')
    if (error instanceof HttpError) {
      check(error.body.length <= limits.ERROR_BODY_BYTES_MAX, 'an error keeps more of a body than its bound')
      check((error.retryAfterMs ?? 0) <= limits.RETRY_MS_MAX, 'a Retry-After beyond its bound')
    }
    return undefined
  }
}
