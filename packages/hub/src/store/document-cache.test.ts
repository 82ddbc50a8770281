import { expect, it } from 'vitest'
import { DocumentCache, type CacheEntry } from './document-cache.ts'

const entry = (id: string, bytes = 1): CacheEntry => ({
  id,
  bytes,
  isKept: false,
  older: undefined,
  newer: undefined,
})

function cacheOf(documentsMax: number, bytesMax: number, ...entries: CacheEntry[]) {
  const bounds = { documentsMax, bytesMax }
  const cache = new DocumentCache<CacheEntry>({ kept: bounds, others: bounds })
  for (const each of entries) {
    cache.pin(each)
    cache.release(each)
  }
  return cache
}

it('given more documents than the bound > the least recently used goes', () => {
  const cache = cacheOf(2, 100, entry('a'), entry('b'))
  cache.get('a')
  const c = entry('c')
  cache.pin(c)
  cache.release(c)
  expect([cache.get('a')?.id, cache.get('b'), cache.get('c')?.id]).toEqual(['a', undefined, 'c'])
})

it('given more bytes than the bound > as many go as it takes, the new one too if it alone is too large', () => {
  const cache = cacheOf(10, 10, entry('a', 4), entry('b', 4), entry('c', 6))
  expect([cache.get('a'), cache.get('b')?.id, cache.get('c')?.id]).toEqual([undefined, 'b', 'c'])
  const large = entry('large', 11)
  cache.pin(large)
  expect(cache.get('large')).toBe(large)
  cache.release(large)
  expect(cache.idleCount).toBe(0)
})

it('given pinned documents > they stay whatever comes, and count again once released', () => {
  const pinned = entry('pinned', 1)
  const cache = cacheOf(2, 10, pinned)
  cache.pin(pinned)
  for (const id of ['a', 'b', 'c']) {
    const each = entry(id)
    cache.pin(each)
    cache.release(each)
  }
  expect(cache.get('pinned')).toBe(pinned)
  expect(cache.idleCount).toBe(2)
  pinned.bytes = 9
  cache.release(pinned)
  expect([cache.get('b'), cache.get('c')?.id, cache.get('pinned')?.id]).toEqual([undefined, 'c', 'pinned'])
})

it('given a dropped document > it is gone, and its bytes are free', () => {
  const a = entry('a', 10)
  const cache = cacheOf(2, 10, a)
  cache.drop(a)
  const b = entry('b', 10)
  cache.pin(b)
  cache.release(b)
  expect([cache.get('a'), cache.get('b')]).toEqual([undefined, b])
})

it('given documents that are likely to be used again > others do not push them out, only more of them do', () => {
  const [a, b, c] = [entry('a'), entry('b'), entry('c')]
  const cache = cacheOf(2, 100, a, b)
  cache.keep(a)
  cache.pin(b)
  cache.keep(b)
  cache.release(b)
  for (const id of ['x', 'y', 'z']) {
    const each = entry(id)
    cache.pin(each)
    cache.release(each)
  }
  expect([cache.get('a'), cache.get('b'), cache.get('x')]).toEqual([a, b, undefined])
  cache.pin(c)
  cache.keep(c)
  cache.release(c)
  expect([cache.get('a'), cache.get('b'), cache.get('c')]).toEqual([undefined, b, c])
  cache.drop(b)
  expect([cache.get('b'), cache.idleCount], 'y, z and c are left').toEqual([undefined, 3])
})
