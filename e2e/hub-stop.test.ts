/** `downlink hub` that is asked to end while somebody does not let it: once it is patient within bounds, twice it is not. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startDownlink, type DownlinkProcess } from './downlink-process.ts'

let folder: string
let hub: DownlinkProcess
let socket: Socket
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'downlink-stop-'))
  hub = startDownlink(folder, ['hub', '--port', '0'])
  await hub.prints('operator token')
  socket = await unfinishedRequest()
})
afterEach(async () => {
  socket.destroy()
  await hub.stop('SIGKILL')
  await rm(folder, { recursive: true, force: true })
})

/** A request of which the hub has the head and waits for the body. */
async function unfinishedRequest(): Promise<Socket> {
  const [, port = ''] = /http:\/\/127\.0\.0\.1:(\d+)/.exec(hub.text()) ?? []
  const token = (await readFile(join(folder, '.downlink', 'operator-token'), 'utf8')).trim()
  const opened = connect(Number(port), '127.0.0.1')
  opened.on('error', () => undefined)
  await once(opened, 'connect')
  opened.write(
    [
      'POST /api/v1/enrollment-keys HTTP/1.1',
      'Host: hub',
      `Authorization: Bearer ${token}`,
      'Content-Type: application/json',
      'Content-Length: 100',
      '',
      '{',
    ].join('\r\n'),
  )
  return opened
}

describe('given a hub with a request that does not end', () => {
  test('when it is asked to end once > it cuts the request in the end, and has ended well', async () => {
    hub.child.kill('SIGTERM')
    await hub.prints('Stopping')
    expect(await hub.ended).toBe(0)
  })

  test('when it is asked a second time > it ends at once', async () => {
    hub.child.kill('SIGTERM')
    await hub.prints('Stopping')
    hub.child.kill('SIGTERM')
    expect(await hub.ended, 'it waited for the request').toBe(130)
  })
})

describe('given a hub that lets its streams go over half an hour', () => {
  test('when it is asked to end > it is not ready before the first stream has ended, and a second time ends it at once', async () => {
    await hub.stop('SIGKILL')
    const flags = ['--drain', '30m', '--log', 'json', '--access-log', '--history', 'forever']
    hub = startDownlink(folder, ['hub', '--port', '0', ...flags])
    await hub.prints('operator token')
    const [, url = ''] = /hub +(http:\/\/127\.0\.0\.1:\d+)/.exec(hub.text()) ?? []
    const token = (await readFile(join(folder, '.downlink', 'operator-token'), 'utf8')).trim()
    const post = async (path: string, body: object, bearer = ''): Promise<Record<string, string>> => {
      const headers = { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' }
      const reply = await fetch(`${url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
      return (await reply.json()) as Record<string, string>
    }
    const { key } = await post('/api/v1/enrollment-keys', {}, token)
    const agentId = 'a1'
    const { apiKey = '' } = await post('/api/internal/agent/authkey/exchange', {
      authKey: key ?? '',
      agentId,
    })
    const stream = await fetch(`${url}/api/internal/agent/events`, {
      headers: { authorization: `Bearer ${apiKey}` },
    })
    const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader()
    hub.child.kill('SIGTERM')
    let text = ''
    while (!text.includes('event: drain')) {
      const { done, value = '' } = (await reader?.read()) ?? { done: true }
      expect(done, `the stream ended first: ${text}`).toBe(false)
      text += value
    }
    expect((await fetch(`${url}/healthz`)).status, 'it lives').toBe(200)
    expect((await fetch(`${url}/readyz`)).status, 'it takes nothing new').toBe(503)
    hub.child.kill('SIGINT')
    expect(await hub.ended, 'it waited for its streams').toBe(130)
    const lines = hub
      .text()
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(lines.map(({ message }) => message)).toContain('The hub stops')
    expect(lines.find(({ route }) => route === '/readyz')).toMatchObject({ status: 503, code: 'draining' })
    for (const secret of [key, apiKey, token]) expect(hub.text()).not.toContain(secret)
    await reader?.cancel().catch(() => undefined)
  })
})
