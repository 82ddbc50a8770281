import { limits } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { createTestClock } from '../../../testkit/src/test-clock.ts'
import { MirrorList } from './mirror-pool.ts'

const A = 'https://a.example'
const B = 'https://b.example'
const C = 'https://c.example'

function poolOf(...urls: string[]) {
  const clock = createTestClock()
  const replaced: string[][] = []
  const pool = new MirrorList({
    urls,
    allowPlainHttp: false,
    clock,
    random: () => 0,
    onReplaced: (left) => replaced.push(left.map(({ origin }) => origin)),
  })
  const origins = (list: readonly URL[]) => list.map(({ origin }) => origin)
  return { clock, pool, replaced, urls: () => origins(pool.urls), order: () => origins(pool.order(true)) }
}

function second(pool: MirrorList): URL {
  return pool.order(false)[1]!
}

describe('given a list of URLs', () => {
  test('when some are the same > they count once, in the order of the first', () => {
    expect(poolOf(B, `${A}/`, A, `${B}:443//`).urls()).toEqual([B, A])
  })

  test('when it is empty or too long > it is refused', () => {
    const many = Array.from({ length: limits.MIRRORS_MAX + 1 }, (_, index) => `https://${index}.example`)
    for (const urls of [[], many]) {
      expect(() => poolOf(...urls)).toThrow(expect.objectContaining({ code: 'bad_hub_url', retry: 'never' }))
    }
  })

  test('when one of them is not to be dialled > none is taken', () => {
    expect(() => poolOf(A, 'http://b.example')).toThrow(expect.objectContaining({ code: 'insecure_hub' }))
  })

  test('when the caller changes a URL that it was given > the pool does not', () => {
    const { pool } = poolOf(A, B)
    pool.current.host = 'evil.example'
    pool.urls[0]!.host = 'evil.example'
    expect(pool.current.origin).toBe(A)
  })
})

describe('given a replacement', () => {
  test('when the current mirror is in it > that stays in use', () => {
    const { pool, order, replaced } = poolOf(A, B)
    pool.worked(second(pool))
    pool.replace([C, `${B}/`])
    expect(pool.current.origin).toBe(B)
    expect([order(), replaced]).toEqual([[B, C], [[C, B]]])
  })

  test('when it is not > the first one is used', () => {
    const { pool, order } = poolOf(A, B)
    pool.replace([C, B])
    expect(order()).toEqual([C, B])
  })

  test('when it cannot be used > nothing has changed', () => {
    const { pool, urls, replaced } = poolOf(A, B)
    expect(() => pool.replace([C, 'ftp://d.example'])).toThrow('scheme ftp')
    expect(() => pool.replace([])).toThrow('from 1 to 8 hub URLs')
    expect([urls(), replaced]).toEqual([[A, B], []])
  })

  test('when a call that began before ends after it > that moves nothing', () => {
    const { pool } = poolOf(A, B)
    const before = second(pool)
    pool.replace([A, C])
    pool.worked(before)
    pool.failed(before)
    expect(pool.current.origin).toBe(A)
  })
})

test('given a home that was left > it is tried first again when it is due, and stays once it works', () => {
  const { pool, clock, order } = poolOf(A, B)
  const home = pool.order(false)[0]!
  pool.worked(second(pool))
  expect(order()).toEqual([B, A])
  clock.advance(limits.MIRROR_HOME_MS_MIN)
  expect(order()).toEqual([A, B])
  pool.worked(home)
  expect(pool.current.origin).toBe(A)
})
