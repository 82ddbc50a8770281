/** Bodies as their chunks come, or do not. */
import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { readJsonObject } from './json-request.ts'

function chunkedRequest(): IncomingMessage {
  const request = new IncomingMessage(new Socket())
  request.headers = { 'transfer-encoding': 'chunked' }
  return request
}

describe('given a body of unknown length', () => {
  test('when it comes in parts > it is read whole, characters cut in two as well', async () => {
    const request = chunkedRequest()
    const read = readJsonObject(request, 100)
    const bytes = Buffer.from('{"name":"Zoë"}')
    const cut = bytes.indexOf(0xab)
    request.push(bytes.subarray(0, cut))
    request.push(bytes.subarray(cut))
    request.push(null)
    await expect(read).resolves.toEqual({ name: 'Zoë' })
  })

  test('when it grows past its bound > it is refused at once, and the connection stays for the reply', async () => {
    const request = chunkedRequest()
    const read = readJsonObject(request, 10)
    request.push(Buffer.from('{"a":"12345'))
    await expect(read).rejects.toMatchObject({ code: 'body_too_large' })
    expect(request.destroyed, 'the sender could not be told').toBe(false)
  })

  test.each([
    ['before it is read', true],
    ['while it is read', false],
  ])('when its sender goes away %s > it is refused', async (_, isBefore) => {
    const request = chunkedRequest()
    request.push(Buffer.from('{"a":'))
    if (isBefore) request.destroy()
    const read = readJsonObject(request, 100)
    if (!isBefore) request.destroy()
    await expect(read, 'nobody may wait for good').rejects.toMatchObject({ code: 'bad_request' })
  })
})
