import { limits } from '@downlink/protocol'
import { expect, test } from 'vitest'
import { turn } from '../../test/fakes.ts'
import { createTestClock } from '../testing/test-clock.ts'
import { KeyRing } from './key-ring.ts'

const KEY = 'dla.a1.first.secret'
const NEXT = 'dla.a1.next.secret'

/** A ring whose hub has another key, on a disk that is full or not. */
function startRing() {
  const clock = createTestClock()
  const did: string[] = []
  const disk = { isFull: false }
  const ring = new KeyRing({
    clock,
    key: KEY,
    credential: {
      read: () => Promise.resolve(KEY),
      async write(key) {
        if (disk.isFull) throw new Error('ENOSPC')
        await turn()
        did.push(`kept ${key}, with ${ring.key} in use`)
      },
      wipe: () => Promise.resolve(),
    },
    ask() {
      did.push('asked')
      return Promise.resolve(NEXT)
    },
    onReplaced: (key) => void did.push(`used ${key}`),
    onTrouble: (error) => void did.push(String(error)),
  })
  return { clock, disk, did, ring }
}

test('given a hub that wants another key in use > that is kept first and used then (R-64)', async () => {
  const { did, ring } = startRing()
  ring.rotate()
  ring.rotate()
  await ring.stop()
  expect(did, 'a stop waits until it is kept, and begins no use').toEqual([
    'asked',
    `kept ${NEXT}, with ${KEY} in use`,
  ])

  const other = startRing()
  other.ring.rotate()
  await turn()
  await turn()
  expect(other.did).toEqual(['asked', `kept ${NEXT}, with ${KEY} in use`, `used ${NEXT}`])
})

test('given a key that cannot be kept, and a hub that asks with every reply > none is asked for for a minute (R-67)', async () => {
  const { clock, disk, did, ring } = startRing()
  disk.isFull = true
  ring.rotate()
  await turn()
  clock.advance(limits.KEY_ROTATION_RETRY_MS - 1)
  ring.rotate()
  await turn()
  expect(did).toEqual(['asked', 'Error: ENOSPC'])
  expect(ring.key).toBe(KEY)
  clock.advance(1)
  disk.isFull = false
  ring.rotate()
  await turn()
  await turn()
  expect(did.slice(2)).toEqual(['asked', `kept ${NEXT}, with ${KEY} in use`, `used ${NEXT}`])
})
