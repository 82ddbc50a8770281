/** What a person sees with curl: the stream as it is, and errors that are JSON. The commands are those that a README quotes. */
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startChild, type Child } from '../packages/testkit/src/kills/child.ts'

/** Enrolls an agent of curl's own; another agent's credential would take that one's stream away, until it comes back. */
const ENROLL = `
KEY=$(curl -s -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{}' $HUB/api/v1/enrollment-keys | grep -o 'dle\\.[^"]*')
curl -s -H 'Content-Type: application/json' -d '{"authKey":"'$KEY'","agentId":"curl"}' $HUB/api/internal/agent/authkey/exchange | grep -o 'dla\\.[^"]*'`
const STREAM = 'exec curl -sN -H "Authorization: Bearer $CREDENTIAL" $HUB/api/internal/agent/events'
const CANCEL = `curl -s -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -H 'Idempotency-Key: k1' \\
  -d '{"action":"cancel","taskId":"t1"}' $HUB/api/v1/agents/curl/controls`
const WRONG_TOKEN = 'curl -si -H "Authorization: Bearer wrong" $HUB/api/internal/agent/events'

let folder: string
let hub: Child
let env: Record<string, string>

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'downlink-curl-'))
  hub = startChild('./hub-process.ts', ['--directory', folder])
  const { url, token } = await hub.ready
  env = { HUB: String(url).replace(/\/$/, ''), TOKEN: String(token) }
})

afterAll(async () => {
  await hub[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

/** A line in a shell. */
interface Shell extends AsyncDisposable {
  readonly text: () => string
  readonly ended: Promise<void>
  /** Resolves once all that was printed matches. @throws if it ends before. */
  prints(pattern: RegExp): Promise<void>
}

function startShell(script: string, more: Record<string, string> = {}): Shell {
  const { PATH = '' } = process.env
  // One group, so that whatever the shell started ends with it.
  const child = spawn('sh', ['-c', script], { env: { PATH, ...env, ...more }, detached: true })
  let text = ''
  let isEnded = false
  const watchers = new Set<() => void>()
  const tell = (): void => {
    for (const watcher of watchers) watcher()
  }
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8')
      tell()
    })
  }
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => {
      isEnded = true
      tell()
      resolve()
    })
  })
  return {
    text: () => text,
    ended,
    prints(pattern) {
      return new Promise((resolve, reject) => {
        const watcher = (): void => {
          if (pattern.test(text)) resolve()
          else if (isEnded) reject(new Error(`curl ended without ${String(pattern)}. It printed:\n${text}`))
        }
        watchers.add(watcher)
        watcher()
      })
    },
    async [Symbol.asyncDispose]() {
      if (!isEnded && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
      await ended
    },
  }
}

async function runShell(script: string): Promise<string> {
  const shell = startShell(script)
  await shell.ended
  return shell.text()
}

/** A raw reply, as `curl -i` prints it. */
function parts(reply: string): { readonly head: string; readonly body: unknown } {
  const [head = '', body = ''] = reply.split('\r\n\r\n')
  expect(body, 'answer in JSON, never in HTML').not.toContain('<')
  return { head, body: JSON.parse(body) as unknown }
}

test('given curl -N with a key > preamble at once, then heartbeats, then the command that an operator gives', async () => {
  const credential = (await runShell(ENROLL)).trim()
  expect(credential, 'the exchange must show the key once').toMatch(/^dla\./)
  await using stream = startShell(STREAM, { CREDENTIAL: credential })
  await stream.prints(/: hb n=\d+ t=\d+ w=\d+\n\n(?=[^]*: hb n=)/)
  expect(stream.text()).toMatch(
    /^retry: 2000\n: connected hb=100\n\n: window w=2000\n\n(: hb n=\d+ t=\d+ w=2000\n\n)+/,
  )
  const made = JSON.parse(await runShell(CANCEL)) as { controlId: string }
  await stream.prints(/event: command\ndata: .*\n\n/)
  const data = /event: command\ndata: (.*)\n\n/.exec(stream.text())?.[1] ?? ''
  expect(JSON.parse(data)).toMatchObject({
    controls: [{ action: 'cancel', taskId: 't1', controlId: made.controlId }],
  })
  expect(JSON.parse(await runShell(CANCEL)), 'the same key means the same control').toMatchObject({
    controlId: made.controlId,
  })
})

test('given a wrong token > 401, and why, in JSON', async () => {
  const { head, body } = parts(await runShell(WRONG_TOKEN))
  expect(head).toMatch(/^HTTP\/1\.1 401 /)
  expect(head).toMatch(/^content-type: application\/json/im)
  expect(head).toMatch(/^www-authenticate: Bearer/im)
  expect(body).toMatchObject({ error: 'unauthorized', message: expect.stringMatching(/\.$/) })
})

test.each([
  ['an unknown path of the agents', '$HUB/api/internal/agent/nowhere', 404, 'not_found'],
  ['an unknown path of the operators', '$HUB/api/v1/nowhere', 404, 'not_found'],
  ['a page that does not exist', '$HUB/index.html', 404, 'not_found'],
  ['a wrong method', '-X DELETE $HUB/api/internal/agent/sync', 405, 'method_not_allowed'],
  ['no token', '$HUB/api/v1/agents', 401, 'unauthorized'],
  ['a body that is no JSON', "-d '<html>' $HUB/api/internal/agent/authkey/exchange", 400, 'bad_json'],
  ['bytes that are no HTTP', "-H 'Content-Length: x' -d 1 $HUB/api/v1/agents", 400, 'bad_request'],
  ['a header that is too large', '-H "x: $(printf %020000d 0)" $HUB/healthz', 431, 'headers_too_large'],
])('given %s > an error in JSON', async (_, args, status, error) => {
  const { head, body } = parts(await runShell(`curl -si ${args}`))
  expect(head).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
  expect(head).toMatch(/^content-type: application\/json/im)
  expect(body).toMatchObject({ error, message: expect.any(String) })
})
