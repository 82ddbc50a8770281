/** Tests of the exit codes that scripts rely on. */
import { DownlinkError, HttpError } from '@downlink/protocol'
import { expect, test } from 'vitest'
import { CommandError, EXIT, exitCodeOf } from './exit-codes.ts'

test.each<[string, unknown, number]>([
  ['its own code', new CommandError(EXIT.notYet, 'x'), 5],
  ['no hub', new DownlinkError('hub_unreachable', 'x'), 3],
  ['no reply', new DownlinkError('reply_timeout', 'x'), 3],
  ['a hub URL that is none', new DownlinkError('bad_hub_url', 'x'), 2],
  ['a bad request', new HttpError(400, 'bad_request', 'x'), 2],
  ['no token', new HttpError(401, 'unauthorized', 'x'), 4],
  ['no scope', new HttpError(403, 'forbidden', 'x'), 4],
  ['an unknown agent', new HttpError(404, 'agent_not_found', 'x'), 4],
  ['a conflict', new HttpError(409, 'task_cancelling', 'x'), 4],
  ['a hub that is too busy', new HttpError(429, 'too_many_requests', 'x'), 3],
  ['a hub that drains', new HttpError(503, 'draining', 'x'), 3],
  ['a hub that fails', new HttpError(500, 'internal', 'x'), 1],
  ['a fault', new TypeError('x'), 1],
])('given %s > the exit code is told by it', (_, error, code) => {
  expect(exitCodeOf(error)).toBe(code)
})
