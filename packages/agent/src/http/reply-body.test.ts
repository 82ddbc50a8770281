import { limits } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { ReplyBody } from './reply-body.ts'

/** A body whose sender notes what it is told; `more` is what it brings when it may go on. */
function bodyOf(more?: (body: ReplyBody) => void) {
  const told: string[] = []
  const body = new ReplyBody({
    pause: () => told.push('pause'),
    resume: () => {
      told.push('resume')
      more?.(body)
    },
    abort: () => told.push('abort'),
  })
  return { body, told }
}

const chunk = (text: string, times = 1): Uint8Array => Buffer.from(text.repeat(times))
const read = (body: ReplyBody): string | undefined => {
  const bytes = body.read()
  return bytes === undefined ? undefined : Buffer.from(bytes).toString()
}

async function lengthOf(body: ReplyBody): Promise<number> {
  let length = 0
  for await (const bytes of body) length += bytes.length
  return length
}

describe('given a body that is read as it comes', () => {
  test('when chunks come > they are copied, joined, and given out once', () => {
    const { body } = bodyOf()
    let changes = 0
    body.onChange = () => (changes += 1)
    const reused = chunk('ab')
    body.push(reused)
    reused.fill(0)
    body.push(chunk('cd'))
    expect([read(body), read(body), changes]).toEqual(['abcd', undefined, 2])
    body.finish({})
    expect([body.end, changes]).toEqual([{}, 3])
  })

  test('when its reader lags > the sender waits, and goes on once all has been read', () => {
    const { body, told } = bodyOf((paused) => paused.push(chunk('!')))
    let changes = 0
    for (let buffer = 0; buffer < 3; buffer += 1) body.push(chunk('x', limits.READ_BUFFER_BYTES))
    expect(told).toEqual(['pause'])
    body.onChange = () => (changes += 1)
    for (let buffer = 0; buffer < 3; buffer += 1) expect(read(body)).toHaveLength(limits.READ_BUFFER_BYTES)
    expect(told).toEqual(['pause'])
    expect(read(body)).toBe('!')
    expect([told, changes]).toEqual([['pause', 'resume'], 0])
  })

  test('when it breaks off > what came before is read first', () => {
    const { body } = bodyOf()
    const error = new Error('broken')
    body.push(chunk('a'))
    body.finish({ error })
    body.finish({})
    expect([body.end, read(body), read(body), body.end]).toEqual([undefined, 'a', undefined, { error }])
  })

  test('when it is destroyed > the connection ends, once, and nothing comes any more', () => {
    const { body, told } = bodyOf()
    body.push(chunk('a'))
    body.destroy()
    body.destroy()
    body.push(chunk('b'))
    expect([read(body), told]).toEqual([undefined, ['abort']])
  })
})

describe('given a loop over a body', () => {
  test('when it is left > the connection ends', async () => {
    const { body, told } = bodyOf()
    body.push(chunk('a'))
    for await (const bytes of body) {
      expect(Buffer.from(bytes).toString()).toBe('a')
      break
    }
    expect(told).toEqual(['abort'])
  })

  test('when the body ends or breaks off > the loop does', async () => {
    const { body, told } = bodyOf()
    const length = lengthOf(body)
    body.push(chunk('abc'))
    body.finish({})
    expect([await length, told]).toEqual([3, []])
    const broken = bodyOf()
    broken.body.finish({ error: new Error('broken') })
    await expect(lengthOf(broken.body)).rejects.toThrow('broken')
  })
})
