import { describe, expect, test } from 'vitest'
import { decideLocally } from './lifecycle-local.ts'
import { createControl } from './lifecycle.ts'
import { emptyMailbox, type Mailbox } from './mailbox.ts'
import type { WriteLog } from './draft.ts'

const time = { wallMs: 1_767_225_600_000, serviceMs: 1_000, epoch: 1, hubBoot: 'hub-1' }
const write = { firstWallMs: time.wallMs, firstServiceMs: 1_000, lastServiceMs: 1_000 }
const nothing: WriteLog = new Map()

function withControls(...controls: [controlId: string, action: string, taskId: string][]): Mailbox {
  return controls.reduce(
    (mailbox, [controlId, action, taskId]) =>
      createControl(mailbox, { controlId, action, taskId, args: null, operator: 'ada' }, time, nothing)
        .mailbox,
    emptyMailbox('o1'),
  )
}
const ids = (entries: readonly { controlId: string }[]): string[] => entries.map((entry) => entry.controlId)

describe('given open controls of an original (R-43)', () => {
  const before = withControls(
    ['pause-1', 'pause', 't1'],
    ['pause-2', 'pause', 't2'],
    ['verify-1', 'verify', 't1'],
  )
  const written: WriteLog = new Map(['pause-1', 'pause-2', 'verify-1'].map((id) => [id, write]))

  test('when its user resumes a task > only that task’s state control is closed, as superseded by local', () => {
    const { mailbox, history } = decideLocally(
      before,
      { taskId: 't1', action: 'resume', reason: 'I need it' },
      time,
      written,
    )
    expect(ids(mailbox.open)).toEqual(['pause-2', 'verify-1'])
    expect(mailbox.settled).toMatchObject([
      {
        controlId: 'pause-1',
        outcome: { state: 'superseded', byControlId: 'local' },
        mayHaveApplied: true,
      },
    ])
    expect(history.map(({ kind, taskId, data }) => [kind, taskId, data])).toEqual([
      ['control.settled', 't1', expect.anything()],
      ['task.decided_locally', 't1', { action: 'resume', reason: 'I need it' }],
    ])
  })

  test('when the agent cannot have seen the control > it stands: it is newer than the decision', () => {
    const { mailbox } = decideLocally(before, { taskId: 't1', action: 'resume' }, time, nothing)
    expect(ids(mailbox.open)).toEqual(['pause-1', 'pause-2', 'verify-1'])
    const later = decideLocally(
      before,
      { taskId: 't1', action: 'resume' },
      { ...time, hubBoot: 'hub-2' },
      nothing,
    )
    expect(ids(later.mailbox.open), 'a hub that was started since cannot know: it may have').not.toContain(
      'pause-1',
    )
  })

  test.for([
    ['a task that nobody knows', { taskId: 'other', action: 'cancel' }],
    ['a word of the application’s own', { taskId: 't1', action: 'delete' }],
  ] as const)('when it decides about %s > nothing is closed, and history has it', ([, decision]) => {
    const { mailbox, history } = decideLocally(before, decision, time, written)
    expect(ids(mailbox.open)).toEqual(ids(before.open))
    expect(history).toMatchObject([{ kind: 'task.decided_locally', taskId: decision.taskId }])
    expect(mailbox.version, 'the history of an unchanged document would not be stored').toBe(
      before.version + 1,
    )
  })
})
