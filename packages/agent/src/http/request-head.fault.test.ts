import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { clientOf, failureOf, hubAnswer, SYNC, tcpServer } from '../../test/servers.ts'

/** A hub that keeps what it hears. */
async function listeningHub() {
  const heard: string[] = []
  const server = await tcpServer((socket) =>
    socket.on('data', (bytes) => {
      heard.push(String(bytes))
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}')
    }),
  )
  return { ...server, heard }
}

describe('given something that no header can carry', () => {
  test.each(['a\r\nx: y', 'a\nb', 'a\rb', 'a\0', 'ä', '\u{10d}\u{10a}x: y'])(
    'when it is %j > the request fails, and the hub hears nothing of it',
    async (text) => {
      const { url, heard } = await listeningHub()
      const { client } = clientOf([url], { journalId: () => text })
      await failureOf(client.wake())
      const keyed = clientOf([url], { credential: () => text })
      expect(await failureOf(keyed.client.sync(SYNC))).toMatchObject({ code: 'bad_credential' })
      expect(() => clientOf([url], { userAgent: text })).toThrow(TypeError)
      await client.sync(SYNC)
      expect(heard, 'the request that failed was written').toHaveLength(1)
    },
  )

  test('when it stands in what is sent as JSON > it is only text there', async () => {
    const { url, heard } = await listeningHub()
    const { client } = clientOf([url])
    const text = 'a\r\n\r\nGET / HTTP/1.1\r\nx: \0\u{10d}\u{10a}'
    await client.register({ agentId: text, name: text, version: text, labels: { [text]: text } })
    const [head = '', body = '', ...more] = heard.join('').split('\r\n\r\n')
    expect([head.match(/^[A-Z]+ /gm), more]).toEqual([['POST '], []])
    expect(head).toContain(`content-length: ${Buffer.byteLength(body)}`)
    expect(JSON.parse(body)).toMatchObject({ agentId: text, labels: { [text]: text } })
  })
})

describe('given a base path', () => {
  test.each([
    ['/base/', '/base'],
    ['/a b/ä/%0d%0a?', '/a%20b/%C3%A4/%0d%0a'],
    ['/a\r\nb\t"<>`{}', '/ab%22%3C%3E%60%7B%7D'],
    ['/../../x/./y', '/x/y'],
  ])('when it is %j > it is one part of the first line', async (path, sent) => {
    const { url, host, heard } = await listeningHub()
    const { client } = clientOf([url + path.replace('?', '')])
    await client.sync(SYNC)
    expect(heard[0]?.split('\r\n')[0]).toBe(`POST ${sent}/api/internal/agent/sync HTTP/1.1`)
    expect(heard[0]).toContain(`\r\nhost: ${host}\r\n`)
  })
})

test('given a hub at an IPv6 address > its host is in brackets, with the port', async () => {
  const hosts: unknown[] = []
  const server = createServer((request, response) => {
    hosts.push(request.headers.host)
    hubAnswer()(request, response)
  }).listen(0, '::1')
  await once(server, 'listening')
  onTestFinished(() => server.close().closeAllConnections())
  const { port } = server.address() as AddressInfo
  const { client } = clientOf([`http://[0:0:0:0:0:0:0:1]:${port}`])
  await client.sync(SYNC)
  expect(hosts).toEqual([`[::1]:${port}`])
})
