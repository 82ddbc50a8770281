/** Controls on the wire: against the vectors, and what holds for every control. */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  compareRevisions,
  controlToJson,
  isIssued,
  laneOf,
  parseControl,
  parseControls,
  reservedArgument,
  type Control,
} from './controls.ts'
import type { Json } from './json.ts'
import * as limits from './limits.ts'

interface WireVectors {
  readonly parse: readonly { name: string; why: string; wire: Json; expect: Control | null }[]
  readonly encode: readonly { name: string; why: string; control: Control; wire: Json }[]
  readonly reserved: readonly { name: string; why: string; args: Json; reserved: string | null }[]
}

const file = new URL('../../../vectors/controls/wire.json', import.meta.url)
const vectors = JSON.parse(readFileSync(file, 'utf8')) as WireVectors

describe('given the vectors of wire.json (R-20, R-24, R-66)', () => {
  test.each(vectors.parse)('parse: $name', ({ why, wire, expect: expected }) => {
    expect(parseControl(wire) ?? null, why).toEqual(expected)
  })

  test.each(vectors.encode)('encode: $name', ({ why, control, wire }) => {
    expect(controlToJson(control), why).toEqual(wire)
  })

  test.each(vectors.encode)('encode, then parse: $name > the same control', ({ control }) => {
    expect(parseControl(controlToJson(control))).toEqual(control)
  })

  test.each(vectors.reserved)('reserved: $name', ({ why, args, reserved }) => {
    expect(reservedArgument(args) ?? null, why).toBe(reserved)
  })

  test('the file > holds every vector', () => {
    const count = vectors.parse.length + vectors.encode.length + vectors.reserved.length
    expect(count, 'vectors are missing: restore vectors/controls from git').toBeGreaterThanOrEqual(40)
  })
})

const args: fc.Arbitrary<Json> = fc
  .oneof(fc.jsonValue({ maxDepth: 3 }), fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 2 })))
  .map((value) => JSON.parse(JSON.stringify(value)) as Json)

describe('given any control', () => {
  test('with arguments that are not reserved > the wire gives it back, flat arguments included', () => {
    fc.assert(
      fc.property(args, fc.nat(), fc.nat(), (value, epoch, revision) => {
        fc.pre(reservedArgument(value) === undefined)
        const control: Control = {
          controlId: 'agent-1~x',
          epoch,
          revision,
          lane: 'verb:tune',
          action: 'tune',
          taskId: 't1',
          args: value,
        }
        const wire = JSON.parse(JSON.stringify(controlToJson(control))) as Json
        expect(parseControl(wire)).toEqual(control)
        if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
          expect(wire, 'originals look for arguments beside action').toMatchObject(value)
        }
      }),
    )
  })

  test('whatever the arguments are called > they never replace a field of the control', () => {
    fc.assert(
      fc.property(args, (value) => {
        const wire = controlToJson({ action: 'cancel', taskId: 't1', args: value })
        expect(wire['action']).toBe('cancel')
        expect(wire['taskId']).toBe('t1')
      }),
    )
  })

  test('any JSON > parses without a throw, into a control with usable fields or nothing', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const control = parseControl(value as Json)
        if (control !== undefined) expect(control.action).toMatch(/^[a-z]/)
      }),
    )
  })
})

describe('given a list of controls', () => {
  test('some are none > these are left out, in order', () => {
    const controls = [null, 5, { action: 'cancel' }, { action: 'pause', taskId: 'a' }, []]
    expect(parseControls({ controls }).map((control) => control.taskId)).toEqual(['a'])
  })

  test.each([undefined, null, 'x', 7, {}])('%o instead of it > is an empty list', (controls) => {
    expect(parseControls(controls === undefined ? {} : { controls })).toEqual([])
  })

  test('100,000 of them > are cut at CONTROLS_PER_MESSAGE_MAX before any is read', () => {
    let reads = 0
    const counted = {
      get action(): string {
        reads += 1
        return 'pause'
      },
      taskId: 't',
    }
    const parsed = parseControls({ controls: Array.from({ length: 100_000 }, () => counted) })
    expect(parsed).toHaveLength(limits.CONTROLS_PER_MESSAGE_MAX)
    expect(reads, 'cut first, so that the cost is bounded').toBeLessThanOrEqual(
      4 * limits.CONTROLS_PER_MESSAGE_MAX,
    )
  })
})

describe('given lanes and revisions', () => {
  test.each([
    ['cancel', 'state'],
    ['pause', 'state'],
    ['resume', 'state'],
    ['reload', 'verb:reload'],
    ['state', 'verb:state'],
  ])('%s > is of the lane %s', (action, lane) => {
    expect(laneOf(action)).toBe(lane)
  })

  test('an epoch > weighs more than any n', () => {
    const of = (epoch: number, revision: number) => ({ epoch, revision })
    expect(compareRevisions(of(2, 1), of(1, 999))).toBeGreaterThan(0)
    expect(compareRevisions(of(1, 1), of(1, 2))).toBeLessThan(0)
    expect(compareRevisions(of(1, 2), of(1, 2))).toBe(0)
  })

  test.each(['controlId', 'epoch', 'revision'])('without %s > it is not an issued one', (name) => {
    const wire = { controlId: 'a~1', epoch: 1, revision: 2, action: 'pause', taskId: 't' }
    const whole = parseControl(wire)
    expect(whole !== undefined && isIssued(whole)).toBe(true)
    const part = parseControl(Object.fromEntries(Object.entries(wire).filter(([key]) => key !== name)))
    expect(part !== undefined && isIssued(part), 'it is applied as an original server means it').toBe(false)
  })
})
