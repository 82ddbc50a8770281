/** What the operator API answers of controls, as JSON Schema. */
import { STAMP_NAMES, type ControlRecord, type ControlState, type Stamp } from '@downlink/protocol'
import Type, { type TSchema } from 'typebox'
import type { ControlEntry } from '../controls/mailbox.ts'
import {
  about,
  agentId,
  anyJson,
  controlId,
  moment,
  onlyTrue,
  optional,
  page,
  shape,
  taskId,
  text,
  whole,
  words,
} from './schema-parts.ts'

type Outcome<S extends ControlState['state']> = Extract<ControlState, { readonly state: S }>
const state = (name: ControlState['state'], description: string): TSchema =>
  Type.Literal(name, { description })

/** What became of a control. */
const controlState = Type.Union(
  [
    shape<Outcome<'pending' | 'delivered' | 'expired'>>(
      {
        state: words<'pending' | 'delivered' | 'expired'>('How far it is.', {
          pending: 'Durable at the hub; not yet written to its agent.',
          delivered: 'Written to the agent, which has not said what became of it.',
          expired: 'Its time to live ended first.',
        }),
      },
      { title: 'ControlNotDecided' },
    ),
    shape<Outcome<'applied'>>(
      {
        state: state('applied', 'Done.'),
        confirmedBy: words<Outcome<'applied'>['confirmedBy']>('Who says so.', {
          agent: 'The agent, by the id of the control.',
          observation: "The task's own report; all that an original agent gives.",
        }),
      },
      { title: 'ControlApplied' },
    ),
    shape<Outcome<'failed'>>(
      {
        state: state('failed', 'Not done, and it will not be.'),
        code: text(
          "Why, for programs: such as `already_finished`, `unsupported`, `interrupted`, `journal_lost`, `agent_revoked`, or the application's own.",
          'already_finished',
        ),
        message: text('Why, for people.'),
      },
      { title: 'ControlFailed' },
    ),
    shape<Outcome<'superseded'>>(
      {
        state: state('superseded', 'A newer control of its lane took its place.'),
        byControlId: text('The newer control.'),
      },
      { title: 'ControlSuperseded' },
    ),
  ],
  { title: 'ControlState', description: 'How far a control is, or what became of it.' },
)

const stamp = shape<Stamp>(
  { at: moment('When.'), by: text('Who says so: `hub`, `agent`, or the name of an operator.', 'ada') },
  { title: 'Stamp', description: 'When something happened, and who says so.' },
)
const STAMP_MEANINGS: Readonly<Record<(typeof STAMP_NAMES)[number], string>> = {
  created: 'The hub has it for good.',
  written: 'It was first written to the agent.',
  received: 'The agent has it.',
  applied: 'The agent says that it was applied.',
  observed: "The task's own report shows it.",
}
const stamps = Type.Object(
  Object.fromEntries(STAMP_NAMES.map((name) => [name, optional(about(stamp, STAMP_MEANINGS[name]))])),
  { title: 'Stamps', description: "The five moments of a control's life, as far as it has come." },
)

/** A control as operators see it: what its mailbox adds to the record is part of it. */
export const controlReply: TSchema = shape<ControlRecord & Pick<ControlEntry, 'diverged'>>(
  {
    controlId,
    agentId,
    epoch: whole('Which life of the store it was made in; with `revision` the order of the controls.'),
    revision: whole('Grows with every control of the agent.'),
    lane: text(
      '`state` for cancel, pause and resume of a task; `verb:NAME` for any other verb. A newer control of the lane `state` takes the place of older open ones.',
      'state',
    ),
    action: text("`cancel`, `pause`, `resume`, or a verb of the application's own.", 'pause'),
    taskId,
    args: anyJson('The arguments of the verb; null without any.'),
    ttlMs: optional(whole('The time to live that was asked for, ms.')),
    delivery: optional(
      words('How often it may be applied when a crash interrupts it.', {
        atMostOnce: 'It then fails as `interrupted`.',
        atLeastOnce: 'It is then applied again.',
      }),
    ),
    sig: optional(text('Reserved for signed controls.')),
    keyId: optional(text('Reserved for signed controls.')),
    outcome: controlState,
    stamps,
    mayHaveApplied: onlyTrue(
      'It is no longer handed out, but was written once, so the agent may still apply it.',
    ),
    unconfirmed: onlyTrue('It went to an original agent, which confirms nothing; nobody ever will.'),
    diverged: onlyTrue('It was observed, and a later report of the task contradicts it.'),
    endedOtherwise: onlyTrue(
      'A cancel was applied, and then its task reported another end, such as `completed`: it will never be observed.',
    ),
    lateOutcome: optional(
      about(controlState, 'What the agent said after it had been superseded or had expired.'),
    ),
  },
  {
    title: 'Control',
    description: 'What a task was asked to do, and how far that is.',
    examples: [
      {
        controlId: 'box-1~019ace3f7d2a',
        agentId: 'box-1',
        epoch: 1_795_362_603,
        revision: 7,
        lane: 'state',
        action: 'pause',
        taskId: 'backup-7f3a',
        args: null,
        outcome: { state: 'applied', confirmedBy: 'agent' },
        stamps: {
          created: { at: '2026-01-31T12:00:00.000Z', by: 'ada' },
          written: { at: '2026-01-31T12:00:00.004Z', by: 'hub' },
          received: { at: '2026-01-31T12:00:00.031Z', by: 'agent' },
          applied: { at: '2026-01-31T12:00:00.031Z', by: 'agent' },
        },
      },
    ],
  },
)
/** What became of each control of a batch. */
export const batchReply: TSchema = page(
  'BatchResults',
  Type.Object(
    {
      agentId,
      taskId,
      controlId: optional(text('The control that was made.', 'box-1~019ace3f7d2a')),
      error: optional(text('Why none was made: a code, as in `Error`.', 'agent_not_found')),
      message: optional(text('Why none was made, for people.')),
    },
    { title: 'BatchResult', description: 'A control that was made, or why not.' },
  ),
  'What became of each control, in the order of the items, or of the ids of the agents.',
)
/** The controls of an agent. */
export const controlsReply: TSchema = page(
  'ControlPage',
  controlReply,
  'Controls of the agent, newest first.',
)
