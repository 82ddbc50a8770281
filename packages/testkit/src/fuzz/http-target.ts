/** The agent's reader of HTTP replies, compared with that of Node: it may be stricter, by name, and never looser. */
import { Connection, SocketReader, type ReplyRequest } from '@downlink/agent/internal'
import { limits } from '@downlink/protocol'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { createTestClock } from '../test-clock.ts'
import { check, type FuzzTarget } from './fuzz-target.ts'
import { readByNode, type ReadReply } from './node-client.ts'
import { replyBytes } from './reply-bytes.ts'
import { cut } from './stream-bytes.ts'

/** Where ours refuses what Node takes, on purpose each: its name, what ours says, and what then is in the bytes. */
const STRICTNESS: readonly (readonly [string, RegExp, RegExp])[] = [
  ['beginning', /does not begin with a status line/, /^(?!HTTP\/1\.)|(?<!\r)\n/],
  ['status line', /status line is none/, /HTTP\/1\.(?![01] [1-9]\d\d[ \r])|[^\t -~\x80-\xff]/],
  ['transfer encoding', /transfer encoding is another than chunked/, /transfer-encoding:/i],
  ['content length', /content length is no number/, /content-length:\s*\d{16}/i],
  ['chunk size of many digits', /chunks are none/, /\r\n[0-9a-f]{14}/i],
  ['chunk extension', /chunks are none/, /\r\n[0-9a-f]+;/i],
  ['change of protocol', /changes the protocol/, / 101/],
  ['interim reply', /interim reply has a body/, / 1\d\d/],
  ['interim replies', /too many interim replies/, / 1\d\d/],
  ['head bytes', /head of the reply is too large/, /[^]{15000}/],
]
const CODES = ['ERR_MALFORMED_REPLY', 'ERR_HEAD_TOO_LARGE', 'ERR_CONNECTION_ENDED', 'ERR_INTERIM']
/** Turns of the event loop that a connection has to settle what has come in full. */
const TURNS_MAX = 20

/** How an exchange came out: a reply in full, or why none is. */
type Outcome = Omit<ReadReply, 'mayFollow'> | { readonly code: unknown; readonly message: string }

/** Any replies, two on a connection: as Node reads them, or refused by name; the same however they are cut. */
export const httpReplies: FuzzTarget & { readonly refused: ReadonlyMap<string, number> } = (() => {
  const refused = new Map<string, number>()
  return {
    name: 'http-replies',
    refused,
    generate: replyBytes,
    async run(input, chance) {
      const bytewise = new Wire()
      const outcome = await bytewise.exchange(
        Array.from(input, (byte) => Uint8Array.of(byte)),
        true,
      )
      for (const pieces of [[input], cut(chance, input)]) {
        const wire = new Wire()
        const again = await wire.exchange(pieces.filter(({ length }) => length > 0))
        same(again, outcome, 'cut otherwise')
        // What nobody asked for ends the connection.
        check(bytewise.bytesTaken === input.length || !wire.isKept, 'it is kept though more came')
      }
      if ('code' in outcome) {
        if ((await readByNode(input)) !== undefined) note(refused, outcome.message, input)
        return
      }
      const byNode = await readByNode(input.subarray(0, bytewise.bytesTaken))
      same(outcome, byNode, 'by Node')
      check(!bytewise.isKept || byNode?.mayFollow === true, 'it is kept though Node keeps it not')
      if (!bytewise.isKept) return
      const next = cut(chance, replyBytes(chance)).filter(({ length }) => length > 0)
      const alone = await new Wire().exchange(next)
      same(await bytewise.exchange(next), alone, 'behind another')
    },
    end() {
      const counts = [...refused].map(([name, count]) => `${name} ${count}`)
      console.log(`http-replies: refused though Node takes it: ${counts.join(', ')}`)
      return Promise.resolve()
    },
  }
})()

/** One of our connections, over a socket in memory. */
class Wire {
  /** Until the reply was over. */
  bytesTaken = 0
  private readonly socket = memorySocket()
  private readonly reader = new SocketReader()
  private readonly connection: Connection

  constructor() {
    const { socket, reader } = this
    this.reader.attach(socket, true)
    this.connection = new Connection({ socket, reader, host: 'hub.test', clock: createTestClock() })
  }

  /** Another request may follow. */
  get isKept(): boolean {
    return this.connection.isKept
  }

  /**
   * What comes of a request that `pieces` answer, and then the end of the connection unless the reply was over before.
   * @param isCut - no piece comes behind the reply.
   */
  async exchange(pieces: readonly Uint8Array[], isCut = false): Promise<Outcome> {
    const { connection, socket } = this
    let isFree = false
    connection.onFree = () => (isFree = true)
    const outcome = outcomeOf(connection)
    this.bytesTaken = 0
    for (const piece of pieces) {
      if ((isCut && isFree) || socket.destroyed) break
      socket.emit('data', piece)
      this.bytesTaken += piece.length
    }
    if (!isFree) socket.emit('end')
    let settled: Outcome | undefined
    void outcome.then((result) => (settled = result))
    for (let turns = 0; settled === undefined && turns < TURNS_MAX; turns += 1) await turn()
    check(settled !== undefined, 'the exchange hangs')
    checkBounds(settled)
    return settled
  }
}

async function outcomeOf(connection: Connection): Promise<Outcome> {
  let interims = 0
  const request: ReplyRequest = {
    method: 'GET',
    path: '/',
    headers: {},
    signal: new AbortController().signal,
    onInterim: () => {
      interims += 1
      if (interims > limits.INTERIM_REPLIES_MAX) throw new TooManyInterims()
    },
  }
  try {
    const reply = await connection.request(request)
    let body = ''
    for await (const bytes of reply.body) body += Buffer.from(bytes).toString('latin1')
    const headers = Object.entries(reply.headers).flatMap(([name, value = []]) =>
      [value].flat().map((each: string) => [name, each] as const),
    )
    return { status: reply.statusCode, headers, body }
  } catch (error) {
    check(error instanceof Error && 'code' in error, `an error without a code: ${String(error)}`)
    return { code: error.code, message: error.message }
  }
}

class TooManyInterims extends Error {
  readonly code = 'ERR_INTERIM'
  override readonly message = 'There were too many interim replies.'
}

function memorySocket(): Socket {
  const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
  // What a connection needs of a socket beside that.
  return Object.assign(socket, { ref: () => socket, unref: () => socket }) as unknown as Socket
}

function checkBounds(outcome: Outcome): void {
  if ('code' in outcome)
    return check(CODES.includes(String(outcome.code)), `the code ${String(outcome.code)}`)
  const text = outcome.headers.flat().join('')
  check(text.length <= limits.RESPONSE_HEADER_BYTES_MAX, 'headers beyond their bound')
}

function note(refused: Map<string, number>, message: string, input: Uint8Array): void {
  const text = Buffer.from(input).toString('latin1')
  const name = STRICTNESS.find(([, said, seen]) => said.test(message) && seen.test(text))?.[0]
  check(name !== undefined, `Node takes what ours refuses as none of the known: ${message}`)
  refused.set(name, (refused.get(name) ?? 0) + 1)
}

/** @throws Finding unless both are the same, but for the order of headers with different names. */
function same(got: Outcome, expected: Outcome | undefined, how: string): void {
  const shown = (outcome: Outcome | undefined): string => JSON.stringify(outcome)?.slice(0, 600) ?? 'no reply'
  check(
    isDeepStrictEqual(byName(got), byName(expected)),
    `it was read as ${shown(got)}, and ${how} as ${shown(expected)}`,
  )
}

function byName(outcome: Outcome | undefined): unknown {
  if (outcome === undefined || 'code' in outcome) return outcome
  // Sorting keeps the order of equal names.
  const headers = outcome.headers.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return { status: outcome.status, body: outcome.body, headers }
}
