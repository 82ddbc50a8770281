/** The operators' end: replies of a hub that sends anything at all, and the file that names an agent's tasks. */
import { createOperatorClient } from '@downlink/client'
import { DownlinkError, limits } from '@downlink/protocol'
import { CommandError, parseTaskKinds } from 'downlink/internal'
import { inspect } from 'node:util'
import { createTestClock } from '../test-clock.ts'
import { check, type FuzzTarget } from './fuzz-target.ts'
import { jsonBytes } from './json-text.ts'
import { OPERATOR_REPLIES, TASK_CONFIGS } from './samples.ts'

const TOKEN = 'dlo.fuzzed.secret-that-must-not-be-seen'

/** Any reply to any call of an operator: a value, or an error with a code that shows no token. */
export const clientReplies: FuzzTarget = {
  name: 'client-replies',
  generate: (chance) => jsonBytes(chance, OPERATOR_REPLIES),
  async run(input, chance) {
    const status = chance.pick([200, 200, 200, 200, 201, 204, 400, 401, 409, 500])
    const hasBody = status !== 204
    const client = createOperatorClient({
      url: 'http://127.0.0.1:1',
      token: TOKEN,
      clock: createTestClock(),
      random: () => 0,
      fetch: () =>
        Promise.resolve(
          new Response(hasBody ? Uint8Array.from(input) : null, {
            status,
            headers: { 'content-type': 'application/json' },
          }),
        ),
    })
    const signal = AbortSignal.abort(new DownlinkError('given_up', 'Given up. Ask again.'))
    await expected(() => client.control('a1~1'))
    await expected(() => client.agent('a1'))
    await expected(() => client.task('a1', 't1').log())
    await expected(() => client.createEnrollmentKey())
    await expected(() => client.nudge('a1'))
    await expected(() => first(client.agents()))
    await expected(() => first(client.controls('a1')))
    await expected(() => first(client.tasks('a1')))
    await expected(() => first(client.agents({ signal })))
  },
}

/** Any tasks.json: kinds of tasks with commands of texts, or a sentence that says what is wrong. */
export const taskConfig: FuzzTarget = {
  name: 'task-config',
  generate: (chance) => jsonBytes(chance, TASK_CONFIGS),
  run(input) {
    try {
      const kinds = parseTaskKinds('/etc/acme/tasks.json', Buffer.from(input).toString('utf8'))
      for (const [name, { command, graceMs = 0, timeLimitMs = 1 }] of Object.entries(kinds)) {
        check(/^[\w.-]{1,64}$/.test(name) && name !== '__proto__', `a kind of the name ${name}`)
        check(
          command.length > 0 && command.every((part) => typeof part === 'string'),
          'a command of no texts',
        )
        check(
          graceMs >= 0 && timeLimitMs >= 1 && timeLimitMs <= limits.TASK_TIME_LIMIT_MS_MAX,
          'a time without bound',
        )
      }
    } catch (error) {
      if (!(error instanceof CommandError)) throw error
    }
  },
}

async function first<T>(items: AsyncIterable<T>): Promise<T | undefined> {
  for await (const item of items) return item
  return undefined
}

async function expected(call: () => Promise<unknown>): Promise<void> {
  try {
    const value = await call()
    if (value !== undefined) JSON.stringify(value)
  } catch (error) {
    if (!(error instanceof DownlinkError)) throw error
    check(/^[a-z][a-z0-9_]{0,63}$/.test(error.code), `the code ${error.code}`)
    check(!inspect(error, { depth: 6 }).includes(TOKEN), 'an error shows the token')
  }
}
