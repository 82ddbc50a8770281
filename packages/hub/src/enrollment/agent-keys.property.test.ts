/** Rotation over every crash, loss and repeat: the key that the agent has on disk is always one that the hub takes. */
import { limits } from '@downlink/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { keysEnrolled, keysIssued, keysUsed, type AgentKey, type NewKey } from './agent-keys.ts'

function made(keyId: string, exchange?: string): NewKey {
  return { keyId, hash: `hash of ${keyId}`, createdMs: 0, ...(exchange === undefined ? {} : { exchange }) }
}

function states(keys: readonly AgentKey[]): string[] {
  return keys.map(({ keyId, state }) => `${keyId} ${state}`)
}

/** What can happen to a rotation, in any order. */
const step = fc.constantFrom(
  'register, reply comes' as const,
  'register, reply is lost' as const,
  'register, sent twice by a proxy' as const,
  'persist' as const,
  'crash of the agent' as const,
  'request' as const,
)

/** An agent and a hub, by what stands on their disks and what the agent has in memory. */
class World {
  keys: readonly AgentKey[] = keysEnrolled([], made('first'))
  disk = 'first'
  inUse = 'first'
  received: string | undefined
  #count = 0

  take(what: typeof step extends fc.Arbitrary<infer S> ? S : never): void {
    switch (what) {
      case 'register, reply comes':
        this.received = this.#register()
        return
      case 'register, reply is lost':
        this.#register()
        return
      case 'register, sent twice by a proxy':
        // Which of the two replies comes back, nobody promises.
        this.received = this.#register()
        this.#register()
        return
      case 'persist':
        if (this.received === undefined) return
        this.disk = this.received
        this.inUse = this.disk
        this.received = undefined
        return
      case 'crash of the agent':
        this.received = undefined
        this.inUse = this.disk
        return
      case 'request':
        this.keys = keysUsed(this.keys, this.inUse)
    }
  }

  stateOf(keyId: string): AgentKey['state'] | undefined {
    return this.keys.find((key) => key.keyId === keyId)?.state
  }

  /** A request like any other: a new key that makes it has been used by it, and is not replaced any more. */
  #register(): string | undefined {
    const before = this.keys
    this.keys = keysUsed(this.keys, this.inUse)
    if (before !== this.keys) return undefined
    this.#count += 1
    const keyId = `key-${this.#count}`
    this.keys = keysIssued(this.keys, made(keyId))
    return keyId
  }
}

test('given any crashes, losses and repeats > the key on the agent’s disk is valid, and one key is current', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const world = new World()
      for (const what of steps) {
        world.take(what)
        expect(['current', 'pending'], 'never retire or drop what an agent may have persisted').toContain(
          world.stateOf(world.disk),
        )
        expect(world.keys.filter((key) => key.state === 'current')).toHaveLength(1)
        expect(world.keys.length).toBeLessThanOrEqual(limits.AGENT_KEYS_MAX)
      }
    }),
    { numRuns: 2_000 },
  )
})

test('given a new key that is used (R-64) > it is the only valid one, and a key in use changes nothing', () => {
  const issued = keysIssued(keysIssued(keysEnrolled([], made('a')), made('b')), made('c'))
  expect(states(issued)).toEqual(['a current', 'b pending', 'c pending'])
  expect(keysUsed(issued, 'a')).toBe(issued)
  const used = keysUsed(issued, 'b')
  expect(states(used)).toEqual(['a retired', 'b current', 'c retired'])
  expect(keysUsed(used, 'a'), 'a retired key stays retired').toBe(used)
})

test('given an exchange that is repeated > its first key is unknown afterwards, others are retired', () => {
  const first = keysEnrolled(keysEnrolled([], made('old')), made('lost', 'x'))
  expect(states(keysEnrolled(first, made('again', 'x')))).toEqual(['old retired', 'again current'])
})

test('given more keys than are kept > retired ones go first, then the oldest that was never used', () => {
  let keys = keysEnrolled(keysEnrolled([], made('retired')), made('current'))
  for (let count = 1; count < 10; count += 1) keys = keysIssued(keys, made(`p${count}`))
  expect(keys).toHaveLength(limits.AGENT_KEYS_MAX)
  expect(states(keys).slice(0, 2)).toEqual(['current current', 'p3 pending'])
  expect(keys.at(-1)?.keyId).toBe('p9')
})
