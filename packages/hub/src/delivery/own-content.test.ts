/** What an application adds to a sync: what of it is sent, and what is left out and told. */
import { limits, type IssuedControl, type Json } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import type { FittedAnswer } from '../controls/sync-reply.ts'
import { fitOwnContent, readOwnContent, type OwnContent } from './own-content.ts'

function read(value: unknown): OwnContent & { readonly faults: readonly string[] } {
  const faults: string[] = []
  return { ...readOwnContent(value, (fault) => void faults.push(fault)), faults }
}

const cancel = { action: 'cancel', taskId: 't1' }
const nothing: FittedAnswer = { acked: [], controls: [], newTasks: [], isCut: false }
const issued = (revision: number, text = ''): IssuedControl => ({
  ...cancel,
  controlId: `a1~${revision}`,
  epoch: 1,
  revision,
  lane: 'state',
  args: { text },
})

describe('given what onSync returned (R-32)', () => {
  test('when it is right > all of it is taken, members of originals included', () => {
    const task = { id: 't2', kind: 'backup', input: { path: '/srv' }, deadline: 7 }
    const own = read({ controls: [cancel], newTasks: [task], extra: { upgrade: { version: '2.0' } } })
    expect(own).toEqual({
      controls: [{ ...cancel, args: null }],
      newTasks: [task],
      extra: { upgrade: { version: '2.0' } },
      faults: [],
    })
    expect(read(undefined), 'nothing is nothing').toEqual({
      controls: [],
      newTasks: [],
      extra: {},
      faults: [],
    })
  })

  test('when a part is wrong > the rest is taken, and the part is told of', () => {
    const faultOf = (value: unknown): string => read(value).faults.join()
    const control = (more: object): string => faultOf({ controls: [{ ...cancel, ...more }] })
    expect(read({ controls: [{ action: 'CANCEL', taskId: 't1' }, cancel] })).toMatchObject({
      controls: [cancel],
      faults: ['controls[0] has no action that is a verb'],
    })
    expect(control({ taskId: '' })).toMatch(/no taskId/)
    for (const name of ['controlId', 'epoch', 'revision', 'lane', 'ttlMs', 'delivery', 'sig', 'keyId']) {
      expect(control({ [name]: 1 })).toMatch(new RegExp(`has ${name}, which only`))
    }
    expect(control({ args: { revision: 1 } })).toMatch(/reserved name revision/)
    expect(control({ args: 'x'.repeat(limits.CONTROL_ARGS_BYTES_MAX) })).toMatch(/more than 16384 bytes/)
    expect(faultOf({ controls: [null] })).toMatch(/no object/)
    expect(faultOf({ controls: {} })).toBe('controls is no array')
    expect(faultOf({ newTasks: [{ id: 'a b' }] })).toMatch(/no id/)
    expect(faultOf({ newTasks: [{ id: 't2', kind: 7 }] })).toMatch(/no name/)
    expect(faultOf({ newTasks: [{ id: 't2', input: 'x'.repeat(limits.TASK_INPUT_BYTES_MAX) }] })).toMatch(
      /input of more than 65536/,
    )
    expect(faultOf({ newTasks: [7] })).toMatch(/no object/)
    expect(faultOf({ extra: [] })).toBe('extra is no object')
  })

  test('when its extra has names of the hub’s > those are left out', () => {
    const names = ['controls', 'newTasks', 'watching', 'acked', 'nextSyncMs', 'hubMs', 'rotateKey']
    const extra = Object.fromEntries([...names, 'mine'].map((name) => [name, true]))
    const own = read({ extra })
    expect(own.extra).toEqual({ mine: true })
    expect(own.faults).toHaveLength(names.length)
    expect(read(JSON.parse('{"extra":{"__proto__":{"a":1}}}')).extra).toEqual({})
  })

  test('when it cannot be JSON, is none, too deep or too large > it is refused whole', () => {
    const cyclic: { self?: unknown } = {}
    cyclic.self = cyclic
    let deep: Json = 1
    for (let depth = 0; depth <= limits.JSON_DEPTH_MAX; depth += 1) deep = [deep]
    for (const value of [cyclic, 7n, null, [], 'text', { extra: { deep } }])
      expect(() => read(value)).toThrow(/./)
    const text = 'x'.repeat(limits.OWN_CONTENT_BYTES_MAX)
    expect(() => read({ extra: { text } })).toThrow(/larger than 262144 bytes/)
    expect(read({ extra: { text: text.slice(40) } }).faults).toEqual([])
  })
})

describe('given the hub’s own answer', () => {
  const own = read({ controls: [cancel], newTasks: [{ id: 't2' }], extra: { mine: 1 } })

  test('when there is room > everything fits', () => {
    const { controls, newTasks, extra } = own
    expect(fitOwnContent(nothing, own)).toEqual({ controls, newTasks, extra, isCut: false })
  })

  test('when it leaves no room in bytes > nothing of one’s own is sent, and the agent is asked back soon', () => {
    const text = 'x'.repeat(limits.CONTROL_ARGS_BYTES_MAX - 100)
    const controls = Array.from({ length: 32 }, (_, at) => issued(at, text))
    const fitted = fitOwnContent({ ...nothing, controls }, own)
    expect(fitted).toEqual({ controls: [], newTasks: [], extra: {}, isCut: true })
  })

  test('when it leaves no room in number > the hub’s go first, and a task is not given twice', () => {
    const controls = Array.from({ length: limits.CONTROLS_PER_MESSAGE_MAX }, (_, at) => issued(at))
    expect(fitOwnContent({ ...nothing, controls }, own)).toMatchObject({ controls: [], isCut: true })
    const newTasks = Array.from({ length: limits.NEW_TASKS_PER_SYNC_MAX }, (_, at) => ({ id: `n${at}` }))
    expect(fitOwnContent({ ...nothing, newTasks }, own)).toMatchObject({ newTasks: [], isCut: true })
    const twice = fitOwnContent({ ...nothing, newTasks: [{ id: 't2' }] }, own)
    expect(twice).toMatchObject({ newTasks: [], isCut: false })
  })
})
