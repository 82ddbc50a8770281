/** Both APIs of a real hub over loopback: whatever comes, the answer is one that is documented, and a good agent is served as before. */
import { createHub, createMemoryStore, createOperatorToken, type Hub } from '@downlink/hub'
import { ERROR_CODES, limits, systemClock, type Json } from '@downlink/protocol'
import { Agent, request as httpRequest } from 'node:http'
import type { Chance } from './chance.ts'
import { check, type FuzzTarget } from './fuzz-target.ts'
import { jsonBytes, jsonText } from './json-text.ts'
import { AGENT_BODIES, OPERATOR_BODIES, SYNC_REQUESTS } from './samples.ts'

/** After so many cases a new hub: one whose mailbox is full refuses everything. */
const CASES_PER_HUB = 3_000
const AGENT_PATHS = [
  'sync',
  'sync',
  'sync',
  'register',
  'deregister',
  'status',
  'task-control',
  'authkey/exchange',
] as const
const OPERATOR_PATHS = [
  'agents/a1/controls',
  'agents/a1/controls',
  'agents/a1/tasks',
  'agents/a1/rotate-key',
  'agents/a1/sync',
  'agents/nobody/controls',
  'controls',
  'enrollment-keys',
] as const
const QUERIES = [
  'agents?',
  'agents/a1/controls?',
  'agents/a1/tasks?',
  'agents/a1/tasks/t1/log?',
  'enrollment-keys?',
  'agents/',
  'controls/',
  'enrollment-keys/',
] as const
const PARAMETERS = [
  'limit=',
  'cursor=',
  'status=',
  'label=',
  'wait=0',
  'wait=',
  'until=',
  'after=',
  '__proto__=',
  '',
] as const
const MANY = 1_000_000

type Reply = readonly [status: number, text: string]

class FuzzedHub {
  readonly hub: Hub
  readonly url: URL
  readonly keys: { readonly good: string; readonly hostile: string; readonly operator: string }
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 4 })

  private constructor(hub: Hub, url: URL, operator: string) {
    this.hub = hub
    this.url = url
    this.keys = { good: '', hostile: '', operator }
  }

  static async start(): Promise<FuzzedHub> {
    const store = createMemoryStore({ clock: systemClock })
    const hub = await createHub({
      store,
      agentRequestsPerS: MANY,
      operatorRequestsPerS: MANY,
      wakeHoldMs: 10,
    })
    const url = await hub.listen({ port: 0 })
    const { token } = await createOperatorToken(store, { name: 'ada', scopes: ['admin'] })
    const started = new FuzzedHub(hub, url, token)
    const [good, hostile] = [await started.enroll('good'), await started.enroll('a1')]
    return Object.assign(started, { keys: { good, hostile, operator: token } })
  }

  send(method: string, path: string, key: string, body?: Uint8Array): Promise<Reply> {
    const { promise, resolve, reject } = Promise.withResolvers<Reply>()
    const type =
      body === undefined ? {} : { 'content-type': 'application/json', 'content-length': body.length }
    const headers = { authorization: `Bearer ${key}`, ...type }
    const request = httpRequest(
      this.url.origin + path,
      { method, headers, agent: this.agent },
      (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (part: string) => (text += part))
        response.once('error', reject).once('end', () => resolve([response.statusCode ?? 0, text]))
      },
    )
    request.once('error', reject).end(body)
    return promise
  }

  async end(): Promise<void> {
    this.agent.destroy()
    await this.hub.drain({ deadlineMs: 0 })
  }

  private async enroll(agentId: string): Promise<string> {
    const operator = this.keys.operator
    const [, made] = await this.send('POST', '/api/v1/enrollment-keys', operator, Buffer.from('{}'))
    const { key } = JSON.parse(made) as { key: string }
    const body = Buffer.from(JSON.stringify({ authKey: key, agentId }))
    const [, text] = await this.send('POST', '/api/internal/agent/authkey/exchange', '', body)
    return (JSON.parse(text) as { apiKey: string }).apiKey
  }
}

/** Any body, to any endpoint of agents or operators; and any path and query. */
export function createHubTarget(): FuzzTarget {
  let current: FuzzedHub | undefined
  let cases = 0

  async function hub(): Promise<FuzzedHub> {
    if (current !== undefined && cases % CASES_PER_HUB === 0) {
      await current.end()
      current = undefined
    }
    cases += 1
    return (current ??= await FuzzedHub.start())
  }

  return {
    name: 'hub',
    generate: (chance) =>
      chance.oneIn(2)
        ? jsonBytes(chance, [...SYNC_REQUESTS, ...AGENT_BODIES] as unknown as readonly [Json, ...Json[]])
        : jsonBytes(chance, OPERATOR_BODIES),
    async run(input, chance) {
      const fuzzed = await hub()
      const { hostile, operator } = fuzzed.keys
      const agentPath = `/api/internal/agent/${chance.pick(AGENT_PATHS)}`
      checkReply(agentPath, await fuzzed.send('POST', agentPath, hostile, input), fuzzed)
      const operatorPath = `/api/v1/${chance.pick(OPERATOR_PATHS)}`
      checkReply(operatorPath, await fuzzed.send('POST', operatorPath, operator, input), fuzzed)
      const query = `/api/v1/${chance.pick(QUERIES)}${parameters(chance)}`
      checkReply(query, await fuzzed.send(chance.oneIn(4) ? 'DELETE' : 'GET', query, operator), fuzzed)
      if (cases % 20 === 0) await checkGoodAgent(fuzzed)
    },
    async end() {
      await current?.end()
    },
  }
}

function parameters(chance: Chance): string {
  const text = jsonText(chance, [1, 'online', '10s', 'site=berlin', 'a1~1', '1.7', 'applied']).slice(0, 2_000)
  const encoded = chance.oneIn(10) ? text.replaceAll(/[^!-~]/g, '%') : encodeURIComponent(text.toWellFormed())
  const first = chance.pick(PARAMETERS) + encoded
  return chance.oneIn(5) ? `${first}&${chance.pick(PARAMETERS)}1` : first
}

/** @throws Finding unless it is a success or an error of the table, with nothing in it from inside. */
function checkReply(path: string, [status, text]: Reply, { keys }: FuzzedHub): void {
  const shown = `${path.slice(0, 100)} was answered ${status} ${text.slice(0, 300)}`
  for (const key of Object.values(keys)) check(!text.includes(key), `a key came back: ${path}`)
  if (status === 204) return
  const body = JSON.parse(text) as { readonly error?: string; readonly message?: string }
  if (status < 300) return
  check(body.error !== undefined && Object.hasOwn(ERROR_CODES, body.error), shown)
  check(ERROR_CODES[body.error as keyof typeof ERROR_CODES].status === status, shown)
  check(status < 500, shown)
  check((body.message?.length ?? 0) <= 4 * limits.MESSAGE_CHARS_MAX, `the sentence has no bound: ${path}`)
  check(!/node_modules|\.ts:\d|FST_|SyntaxError|TypeError|RangeError/.test(text), shown)
}

/** Nothing that the hostile ones did is seen by another agent. */
async function checkGoodAgent(fuzzed: FuzzedHub): Promise<void> {
  const body = Buffer.from(JSON.stringify({ agentId: 'good', tasks: [], freeSlots: 1 }))
  const [status, text] = await fuzzed.send('POST', '/api/internal/agent/sync', fuzzed.keys.good, body)
  const reply = JSON.parse(text) as { readonly controls?: unknown; readonly newTasks?: unknown }
  check(
    status === 200 && Array.isArray(reply.controls) && Array.isArray(reply.newTasks),
    `the good agent got ${text}`,
  )
}
