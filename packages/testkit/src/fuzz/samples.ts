/** What each message looks like when nothing is wrong with it. */
import type { Json } from '@downlink/protocol'

type Samples = readonly [Json, ...Json[]]

const revision = { epoch: 1, revision: 7 }
const control = {
  action: 'pause',
  taskId: 't1',
  controlId: 'a1~0190',
  ...revision,
  lane: 'state',
  ttlMs: 1_000,
  delivery: 'atMostOnce',
  sig: 's',
  keyId: 'k',
}
const task = {
  taskId: 't1',
  status: 'running',
  progress: 0.5,
  updatedAt: 1_700_000_000_000,
  errorMessage: 'no',
  kind: 'backup',
  message: 'half',
  result: { files: [1, 2, { deep: true }] },
  log: { nextLine: 3, lines: ['a', 'b'] },
}

/** The body of a sync. */
export const SYNC_REQUESTS: Samples = [
  { agentId: 'a1', tasks: [task], freeSlots: 2 },
  {
    agentId: 'a1',
    tasks: [task, { taskId: 't2', status: '', progress: 0, updatedAt: 0 }],
    freeSlots: 1,
    version: '1.2.3',
    name: 'laptop',
    os: 'linux',
    arch: 'x64',
    labels: { site: 'berlin' },
    bootNonce: 'b',
    connectCounter: 3,
    journalId: 'j',
    received: ['a1~0190'],
    outcomes: [
      { controlId: 'a1~0190', ...revision, state: 'applied', agoMs: 5 },
      { controlId: 'a1~0191', ...revision, state: 'failed', code: 'no', message: 'It failed.' },
      { controlId: 'a1~0192', ...revision, state: 'stale', highWater: revision, local: true },
    ],
    decisions: [{ decisionId: 'd1', taskId: 't1', action: 'cancel', basedOn: revision, agoMs: 1 }],
    heartbeat: { counter: 1, hubMs: 1_700_000_000_000, agoMs: 3, lagMs: 2 },
    path: { verdict: 'cut-idle', idleMs: 60_000, lagMs: 3 },
  },
]

/** What a hub answers to a sync. */
export const SYNC_REPLIES: Samples = [
  {
    controls: [{ action: 'cancel', taskId: 't1', deleteFiles: true }],
    newTasks: [{ id: 't2' }],
    watching: true,
  },
  {
    controls: [control, { ...control, action: 'tune', lane: 'verb:tune', args: { speed: 2 }, speed: 2 }],
    newTasks: [{ id: 't2', kind: 'backup', input: { path: '/', deep: [{}] } }],
    watching: false,
    upgrade: { version: '2.0.0' },
    acked: ['a1~0190', 'd1'],
    nextSyncMs: 10_000,
    rotateKey: true,
  },
]

/** What a hub answers to the other calls of an agent. */
export const OTHER_REPLIES: Samples = [
  { wake: true },
  { success: true, agentKey: 'dla.new', user: { id: 1 }, features: {} },
  { apiKey: 'dla.a1.k.s', userId: 'downlink', apiUrl: 'https://hub.example.com' },
  { error: 'agent_revoked', message: 'This agent was revoked.', details: {} },
]

/** The data of a stream's events. */
export const EVENT_DATA: Samples = [
  { reason: 'wake' },
  { controls: [control, { action: 'cancel', taskId: 't1' }] },
  { reconnectAfterMs: 1_500, windowMs: 30_000 },
]

/** Bodies of the agent API beside the sync. */
export const AGENT_BODIES: Samples = [
  { agentId: 'a1', version: '1.2.3', name: 'laptop', os: 'linux', arch: 'x64', labels: { a: 'b' } },
  { agentId: 'a1', taskId: 't1', action: 'pause', deleteFiles: false, reason: 'battery' },
  { ...task, agentId: 'a1' },
  { updates: [task, { taskId: 't2', status: 'completed' }] },
  { authKey: 'dle.k.s', agentId: 'new', hostname: 'h', platform: 'linux', exchangeId: 'e' },
]

/** Bodies of the operator API. */
export const OPERATOR_BODIES: Samples = [
  { action: 'pause', taskId: 't1', ttlMs: 60_000 },
  { action: 'tune', taskId: 't1', args: { speed: 2 }, lane: 'latest', delivery: 'atLeastOnce' },
  { kind: 'backup', taskId: 't3', input: { path: '/' } },
  { uses: 2, ttlMs: 60_000, labels: { site: 'berlin' }, agentId: 'a1' },
  { items: [{ agentId: 'a1', action: 'pause', taskId: 't1' }] },
  { selector: 'site=berlin', action: 'pause', taskId: 't1' },
  {},
]

/** Replies of the operator API. */
export const OPERATOR_REPLIES: Samples = [
  {
    items: [{ ...control, agentId: 'a1', args: null, outcome: { state: 'pending' }, stamps: {} }],
    nextCursor: '1.7',
  },
  {
    ...control,
    agentId: 'a1',
    args: null,
    outcome: { state: 'applied', confirmedBy: 'agent' },
    stamps: { created: { at: '2026-01-01T00:00:00.000Z', by: 'ada' } },
  },
  {
    agentId: 'a1',
    taskId: 't1',
    kind: 'k',
    state: 'running',
    progress: 0.5,
    changedAt: '2026-01-01T00:00:00.000Z',
  },
  { agentId: 'a1', status: 'online', transport: 'stream', labels: {}, openControls: 0, taskCount: 1 },
  { taskId: 't1', firstLine: 0, nextLine: 1, lines: ['a'] },
  {
    id: 'k',
    key: 'dle.k.s',
    state: 'usable',
    usesMax: 1,
    usesCount: 0,
    labels: {},
    createdAt: '',
    createdBy: '',
    expiresAt: '',
  },
  { error: 'mailbox_full', message: 'It is full. Wait.' },
]

/** An agent's tasks.json. */
export const TASK_CONFIGS: Samples = [
  {
    kinds: {
      backup: {
        command: ['/usr/bin/backup', '--all', '{path}'],
        cwd: 'work',
        env: { A: 'b' },
        placeholders: { path: '^[a-z]+$' },
        graceMs: 5_000,
        timeLimitMs: 60_000,
        onRestart: 'fail',
      },
    },
  },
]
