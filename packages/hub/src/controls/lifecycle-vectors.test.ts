/** The hub's life cycle against the vectors that any other hub could run. */
import { readFileSync } from 'node:fs'
import type { Delivery, Json, LanePolicy } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { MailboxBench, taskReport } from '../../../testkit/src/mailbox-bench.ts'

interface Wish {
  readonly controlId: string
  readonly action: string
  readonly taskId: string
  readonly ttlMs?: number
  readonly lanePolicy?: LanePolicy
  readonly delivery?: Delivery
  readonly key?: string
  readonly body?: string
}

interface Looks {
  readonly state?: string
  readonly code?: string
  readonly by?: string
  readonly observed?: boolean
  readonly mayHaveApplied?: boolean
  readonly diverged?: boolean
  readonly unconfirmed?: boolean
  readonly late?: string
}

type Body = Readonly<Record<string, Json>>

type Step =
  | { readonly control: Wish; readonly result: string; readonly code?: string; readonly of?: string }
  | { readonly task: { readonly taskId: string; readonly kind: string }; readonly result: string }
  | { readonly sync: Body; readonly answer: 'clone' | Answer }
  | { readonly pass: number }
  | { readonly restart: true }
  | {
      readonly expect: { readonly controls?: Record<string, Looks>; readonly tasks?: Record<string, string> }
    }

interface Answer {
  readonly controls?: readonly (string | object)[]
  readonly acked?: readonly string[]
  readonly newTasks?: readonly string[]
}

interface Vector {
  readonly name: string
  readonly rule: string
  readonly why: string
  readonly steps: readonly Step[]
}

const file = new URL('../../../../vectors/controls/lifecycle.json', import.meta.url)
const vectors = JSON.parse(readFileSync(file, 'utf8')) as readonly Vector[]

describe('given the vectors of lifecycle.json', () => {
  test.each(vectors)('$rule: $name', ({ why, steps }) => {
    const bench = new MailboxBench()
    bench.serviceMs = 0
    for (const [index, step] of steps.entries()) take(bench, step, `step ${index + 1}: ${why}`)
  })

  test('the file > holds every vector', () => {
    expect(vectors.length, 'vectors are missing: restore vectors/controls from git').toBeGreaterThanOrEqual(
      34,
    )
  })
})

function take(bench: MailboxBench, step: Step, why: string): void {
  if ('control' in step) askControl(bench, step, why)
  else if ('task' in step)
    expect(bench.task(step.task.taskId, { kind: step.task.kind }).kind, why).toBe(step.result)
  else if ('sync' in step) sync(bench, step.sync, step.answer, why)
  else if ('pass' in step) bench.pass(step.pass)
  else if ('restart' in step) bench.restart()
  else look(bench, step.expect, why)
}

function askControl(bench: MailboxBench, step: Extract<Step, { control: Wish }>, why: string): void {
  const { key, body, ...wish } = step.control
  const idempotency = key === undefined ? {} : { idempotency: { key, bodyHash: body ?? '' } }
  const result = bench.control({ ...wish, ...idempotency })
  expect(result.kind, why).toBe(step.result)
  if (step.code !== undefined) expect(result, why).toMatchObject({ code: step.code })
  if (step.of !== undefined) expect(result, why).toMatchObject({ controlId: step.of })
}

function sync(bench: MailboxBench, body: Body, expected: 'clone' | Answer, why: string): void {
  const { tasks, ...rest } = body
  const listed = Array.isArray(tasks)
    ? tasks
    : Object.entries((tasks ?? {}) as Record<string, string>).map(([taskId, status]) =>
        taskReport(taskId, status),
      )
  const answer = bench.rawSync({ ...rest, tasks: listed })
  if (expected === 'clone' || answer === undefined) {
    expect(answer === undefined ? 'clone' : 'accepted', why).toBe(expected === 'clone' ? 'clone' : 'accepted')
    return
  }
  const controls = answer.controls.map((control) => control.controlId)
  if (expected.controls !== undefined) {
    expect(controls, why).toEqual(
      expected.controls.map((item) => (typeof item === 'string' ? item : idOf(item))),
    )
    for (const [index, item] of expected.controls.entries()) {
      if (typeof item === 'object') expect(answer.controls[index], why).toMatchObject(item)
    }
  }
  if (expected.acked !== undefined) expect(answer.acked, why).toEqual(expected.acked)
  if (expected.newTasks !== undefined) {
    expect(
      answer.newTasks.map((task) => task.id),
      why,
    ).toEqual(expected.newTasks)
  }
}

function idOf(item: object): unknown {
  return 'controlId' in item ? item.controlId : undefined
}

function look(
  bench: MailboxBench,
  expected: Extract<Step, { expect: unknown }>['expect'],
  why: string,
): void {
  for (const [controlId, looks] of Object.entries(expected.controls ?? {})) {
    const entry = bench.entry(controlId)
    const { outcome } = entry
    const shown: Required<Looks> = {
      state: outcome.state,
      code: outcome.state === 'failed' ? outcome.code : '',
      by: outcome.state === 'superseded' ? outcome.byControlId : '',
      observed: entry.stamps.observed !== undefined,
      mayHaveApplied: entry.mayHaveApplied === true,
      diverged: entry.diverged === true,
      unconfirmed: entry.unconfirmed === true,
      late: entry.lateOutcome?.state ?? '',
    }
    expect(shown, `${why} (${controlId})`).toMatchObject(looks)
  }
  for (const [taskId, state] of Object.entries(expected.tasks ?? {})) {
    expect(bench.taskState(taskId), `${why} (${taskId})`).toBe(state)
  }
}
