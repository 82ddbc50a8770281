import type { LookupAddress, LookupOptions } from 'node:dns'
import { beforeEach, expect, test, vi } from 'vitest'
import { lookUp } from './lookup.ts'

type Answer = (error: Error | null, address: string | LookupAddress[], family?: number) => void

const system = vi.hoisted(() => ({
  asked: [] as { readonly hostname: string; readonly options: unknown; readonly answer: unknown }[],
}))
vi.mock('node:dns', () => ({
  lookup: (hostname: string, options: LookupOptions, answer: Answer) =>
    void system.asked.push({ hostname, options, answer }),
}))

beforeEach(() => void (system.asked.length = 0))

function answer(index: number, ...given: Parameters<Answer>): void {
  const asked = system.asked[index]
  expect(asked, 'the system was not asked').toBeDefined()
  ;(asked as { answer: Answer }).answer(...given)
}

test('given a name that is being looked up > whoever asks for it gets that answer, and the next one a new look-up', () => {
  const told: unknown[] = []
  const ask = (hostname: string, all = true): void =>
    lookUp(hostname, { all }, (...given) => told.push([hostname, ...given]))
  ask('hub.test')
  ask('hub.test')
  ask('mirror.test')
  ask('hub.test', false)
  expect(system.asked.map(({ hostname }) => hostname)).toEqual(['hub.test', 'mirror.test', 'hub.test'])
  const found = [{ address: '192.0.2.1', family: 4 }]
  answer(0, null, found)
  expect(told).toEqual([
    ['hub.test', null, found, undefined],
    ['hub.test', null, found, undefined],
  ])
  ask('hub.test')
  expect(system.asked, 'an answer must not be kept: the name may move').toHaveLength(4)
  const lost = new Error('EAI_AGAIN')
  answer(3, lost, [])
  expect(told.at(-1)).toEqual(['hub.test', lost, [], undefined])
})
