/** The test hub's rules against the vectors that any hub could run. */
import { readFileSync } from 'node:fs'
import { DownlinkError, parseSyncRequest, type Json } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { TestMailbox, type MailboxAnswer } from './test-mailbox.ts'
import type { ControlWish } from './test-control.ts'

/** What a test hub leaves out on purpose; a vector that is about nothing else is not run. */
const LEFT_OUT: ReadonlyMap<string, string> = new Map([
  ['R-31', 'times to live and idempotency keys'],
  ['R-40', 'agents of the original wire'],
  ['R-41', 'agents of the original wire'],
  ['R-42', 'agents of the original wire'],
])

interface Looks {
  readonly state?: string
  readonly code?: string
  readonly by?: string
  readonly observed?: boolean
  readonly mayHaveApplied?: boolean
  readonly diverged?: boolean
  readonly late?: string
}

type Body = Readonly<Record<string, Json>>

type Step =
  | { readonly control: ControlWish; readonly result: string; readonly code?: string }
  | { readonly task: { readonly taskId: string; readonly kind: string }; readonly result: string }
  | { readonly sync: Body; readonly answer: 'clone' | Answer }
  | { readonly pass: number }
  | { readonly restart: true }
  | {
      readonly expect: { readonly controls?: Record<string, Looks>; readonly tasks?: Record<string, string> }
    }

interface Answer {
  readonly controls?: readonly (string | { readonly controlId: string })[]
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
const all = JSON.parse(readFileSync(file, 'utf8')) as readonly Vector[]
const vectors = all.filter(({ rule }) => !LEFT_OUT.has(rule))

describe('given the vectors of lifecycle.json, but for what a test hub leaves out', () => {
  test.each(vectors)('$rule: $name', ({ why, steps }) => {
    const mailbox = new TestMailbox('agent-1')
    for (const [index, step] of steps.entries()) take(mailbox, step, `step ${index + 1}: ${why}`)
  })

  test('most vectors > are run', () => {
    expect(vectors.length, 'vectors were lost: see LEFT_OUT, and vectors/controls').toBeGreaterThanOrEqual(23)
  })
})

function take(mailbox: TestMailbox, step: Step, why: string): void {
  if ('control' in step) expect(asked(mailbox, step.control), why).toMatchObject(resultOf(step))
  else if ('task' in step) mailbox.task(step.task.taskId, step.task.kind, null)
  else if ('sync' in step) sync(mailbox, step.sync, step.answer, why)
  else if ('restart' in step) mailbox.restart()
  else if ('expect' in step) look(mailbox, step.expect, why)
}

function asked(mailbox: TestMailbox, wish: ControlWish): { result: string; code?: string } {
  try {
    mailbox.control(wish)
    return { result: 'created' }
  } catch (error) {
    if (error instanceof DownlinkError) return { result: 'refused', code: error.code }
    throw error
  }
}

function resultOf({ result, code }: Extract<Step, { control: ControlWish }>): object {
  return code === undefined ? { result } : { result, code }
}

function sync(mailbox: TestMailbox, body: Body, expected: 'clone' | Answer, why: string): void {
  const { tasks, ...rest } = body
  const listed = Array.isArray(tasks)
    ? tasks
    : Object.entries((tasks ?? {}) as Record<string, string>).map(([taskId, status]) => ({
        taskId,
        status,
        progress: 0,
        updatedAt: 0,
      }))
  const request = parseSyncRequest({ agentId: 'agent-1', freeSlots: 4, ...rest, tasks: listed })
  if (request === undefined) throw new Error('The vector has no sync. Mend vectors/controls/lifecycle.json.')
  const answer: MailboxAnswer = mailbox.sync(request)
  if (answer === 'clone' || expected === 'clone') {
    expect(answer === 'clone', why).toBe(expected === 'clone')
    return
  }
  mailbox.written(answer.controls)
  if (expected.controls !== undefined) {
    const ids = expected.controls.map((item) => (typeof item === 'string' ? item : item.controlId))
    expect(
      answer.controls.map(({ controlId }) => controlId),
      why,
    ).toEqual(ids)
    for (const [index, item] of expected.controls.entries()) {
      if (typeof item === 'string') continue
      // A test hub counts no time to live.
      const { ttlMs: _, ...rest } = item as { controlId: string; ttlMs?: number }
      expect(answer.controls[index], why).toMatchObject(rest)
    }
  }
  if (expected.acked !== undefined) expect(answer.acked, why).toEqual(expected.acked)
  if (expected.newTasks !== undefined) {
    expect(
      answer.newTasks.map(({ id }) => id),
      why,
    ).toEqual(expected.newTasks)
  }
}

function look(mailbox: TestMailbox, expected: Extract<Step, { expect: unknown }>['expect'], why: string) {
  for (const [controlId, looks] of Object.entries(expected.controls ?? {})) {
    const control = mailbox.find(controlId)
    if (control === undefined) throw new Error(`${why}: the mailbox has lost ${controlId}.`)
    const { outcome } = control
    const shown: Required<Looks> = {
      state: outcome.state,
      code: outcome.state === 'failed' ? outcome.code : '',
      by: outcome.state === 'superseded' ? outcome.byControlId : '',
      observed: control.isObserved,
      mayHaveApplied: control.mayHaveApplied,
      diverged: control.hasDiverged,
      late: control.lateOutcome?.state ?? '',
    }
    expect(shown, `${why} (${controlId})`).toMatchObject(looks)
  }
  for (const [taskId, state] of Object.entries(expected.tasks ?? {})) {
    expect(mailbox.tasks.get(taskId)?.state, `${why} (${taskId})`).toBe(state)
  }
}
