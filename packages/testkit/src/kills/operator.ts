/** An operator who presses buttons all the time, repeats what was not answered, and writes down every answer. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ControlRecord } from '@downlink/protocol'
import type { NumberedControl } from './effects.ts'

/** Where the hub is now; it moves when the hub is started again. */
export interface HubAddress {
  url: string
  token: string
}

/** Longest that one request is repeated, ms: far more than a restart takes, also where it is killed again. */
const REPEAT_MS_MAX = 60_000
const PAUSE_MS = 25
/** Many that wait for a hub must not keep the machine from starting it. */
const PAUSE_MS_MAX = 400
/** Controls that are asked about at once. */
const ASKING_MAX = 40
/** Longest that controls may take to settle after the last was accepted, ms: a reconnect with its backoff, and more. */
const SETTLE_MS_MAX = 40_000

/** One request, repeated until it is answered with anything but 429 or 503. @param repeatMs - for so long; 0 for not at all. */
export async function ask(
  hub: HubAddress,
  method: string,
  path: string,
  body?: unknown,
  repeatMs: number = REPEAT_MS_MAX,
): Promise<{ status: number; json: unknown }> {
  const key = randomUUID()
  const giveUp = AbortSignal.timeout(REPEAT_MS_MAX)
  const endMs = performance.now() + repeatMs
  for (let pauseMs = PAUSE_MS; ; pauseMs = Math.min(PAUSE_MS_MAX, 2 * pauseMs)) {
    giveUp.throwIfAborted()
    try {
      const reply = await fetch(new URL(path, hub.url), {
        method,
        headers: {
          authorization: `Bearer ${hub.token}`,
          'idempotency-key': key,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: giveUp,
      })
      // One that was made by an attempt whose reply was lost may be refused for its rate the next time.
      if (![429, 503].includes(reply.status)) return { status: reply.status, json: await reply.json() }
      if (performance.now() > endMs) throw new Error(`it was answered ${reply.status} until the end`)
    } catch (error) {
      if (giveUp.aborted || performance.now() > endMs) throw error
    }
    await sleep(pauseMs)
  }
}

/** A control that was accepted. */
export type Issued = Omit<NumberedControl, 'final'>

/** A control that is to be asked for. */
export interface Press {
  readonly number: number
  readonly taskId: string
  readonly body: Readonly<Record<string, unknown>> & { readonly action: string }
}

const OWN_ACTIONS = ['pause', 'resume', 'bump', 'pause', 'resume', 'bump', 'cancel']
/** A verb that must not be applied twice, in its order, and one that may, of which only the newest counts. */
const VERBS: readonly Press['body'][] = [
  { action: 'poke' },
  { action: 'reload', lane: 'latest', delivery: 'atLeastOnce' },
]

/** The next control of the seed's sequence. @param verbTasks - tasks of the hub that are sent verbs; the agent's own get the rest. */
export function planPress(number: number, verbTasks: readonly string[], random: () => number): Press {
  const pick = <T>(items: readonly T[], other: T): T => items[Math.floor(random() * items.length)] ?? other
  if (verbTasks.length > 0 && random() < 0.5) {
    return {
      number,
      taskId: pick(verbTasks, ''),
      body: { ...pick(VERBS, { action: 'poke' }), args: { number } },
    }
  }
  return {
    number,
    taskId: `t${1 + Math.floor(random() * 3)}`,
    body: { action: pick(OWN_ACTIONS, 'pause') },
  }
}

/** Asks for a control; what was accepted by the hub's own words, or undefined if it was refused. @throws if it is not answered. */
export async function press(
  hub: HubAddress,
  agentId: string,
  { number, taskId, body }: Press,
  repeatMs?: number,
): Promise<Issued | undefined> {
  const path = `api/v1/agents/${agentId}/controls`
  const { status, json } = await ask(hub, 'POST', path, { ...body, taskId }, repeatMs)
  return status === 200 || status === 201 ? issuedOf(number, json as ControlRecord) : undefined
}

/** A control that was made of the request with that number. */
export function issuedOf(number: number, record: ControlRecord): Issued {
  const { taskId, controlId, action, epoch, revision, lane, delivery = 'atMostOnce' } = record
  return { number, taskId, controlId, action, epoch, revision, lane, delivery }
}

/** Issues `count` controls from the seed's sequence, two at a time; returns those that were accepted. */
export async function issueControls(
  hub: HubAddress,
  agentId: string,
  plan: { readonly count: number; readonly verbTasks: readonly string[] },
  random: () => number,
): Promise<readonly Issued[]> {
  const { count, verbTasks } = plan
  const accepted: Issued[] = []
  const planned = Array.from({ length: count }, (_, index) => planPress(index + 1, verbTasks, random))
  const pressAll = async (): Promise<void> => {
    for (let next = planned.shift(); next !== undefined; next = planned.shift()) {
      const issued = await press(hub, agentId, next)
      if (issued !== undefined) accepted.push(issued)
      // The journal is slower than this loop; without a breath most controls would only supersede each other.
      await sleep(random() * PAUSE_MS)
    }
  }
  await Promise.all([pressAll(), pressAll()])
  return accepted
}

/** A control with all that the hub says of it in the end; without `record` it does not know it. */
export interface SettledControl extends NumberedControl {
  readonly record: ControlRecord | undefined
}

/** What the hub says in the end of every accepted control; waits until each is settled or `settleMs` are over. */
export async function finalStates<C extends Issued>(
  hub: HubAddress,
  accepted: readonly C[],
  settleMs: number = SETTLE_MS_MAX,
): Promise<readonly (C & SettledControl)[]> {
  const giveUp = AbortSignal.timeout(settleMs)
  const finalState = async (control: C): Promise<C & SettledControl> => {
    const path = `api/v1/controls/${encodeURIComponent(control.controlId)}?wait=5s&until=applied`
    for (;;) {
      const { status, json } = await ask(hub, 'GET', path)
      if (status !== 200) return { ...control, final: undefined, record: undefined }
      const record = json as ControlRecord
      const { outcome, mayHaveApplied, epoch, revision } = record
      const isSettled = outcome.state !== 'pending' && outcome.state !== 'delivered'
      if (isSettled || giveUp.aborted) {
        const final = { outcome, mayHaveApplied: mayHaveApplied === true }
        // One that the agent had refused as stale was issued again.
        return { ...control, epoch, revision, final, record }
      }
    }
  }
  const left = [...accepted]
  const settled: (C & SettledControl)[] = []
  const askAll = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift())
      settled.push(await finalState(next))
  }
  await Promise.all(Array.from({ length: ASKING_MAX }, askAll))
  return settled
}
