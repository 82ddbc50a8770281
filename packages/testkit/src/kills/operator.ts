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

/** Longest that one request is repeated, ms: far more than a restart takes. */
const REPEAT_MS_MAX = 20_000
const PAUSE_MS = 25
/** Longest that controls may take to settle after the last was accepted, ms: a reconnect with its backoff, and more. */
const SETTLE_MS_MAX = 40_000

/** One request, repeated until it is answered with anything but 503. */
export async function ask(
  hub: HubAddress,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; json: unknown }> {
  const key = randomUUID()
  const giveUp = AbortSignal.timeout(REPEAT_MS_MAX)
  for (;;) {
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
      if (reply.status !== 503) return { status: reply.status, json: await reply.json() }
    } catch (error) {
      if (giveUp.aborted) throw error
    }
    await sleep(PAUSE_MS)
  }
}

/** A control that was accepted. */
export type Issued = Omit<NumberedControl, 'final'>

interface Press {
  readonly taskId: string
  readonly body: Readonly<Record<string, unknown>> & { readonly action: string }
}

const OWN_ACTIONS = ['pause', 'resume', 'bump', 'pause', 'resume', 'bump', 'cancel']
/** A verb that must not be applied twice, in its order, and one that may, of which only the newest counts. */
const VERBS: readonly Press['body'][] = [
  { action: 'poke' },
  { action: 'reload', lane: 'latest', delivery: 'atLeastOnce' },
]

/**
 * Issues `count` controls from the seed's sequence; returns those that were accepted, by the hub's own words.
 * @param verbTasks - tasks of the hub that are sent verbs; the agent's own get the rest.
 */
export async function issueControls(
  hub: HubAddress,
  agentId: string,
  plan: { readonly count: number; readonly verbTasks: readonly string[] },
  random: () => number,
): Promise<readonly Issued[]> {
  const { count, verbTasks } = plan
  const accepted: Issued[] = []
  const pick = <T>(items: readonly [T, ...T[]] | readonly T[], other: T): T =>
    items[Math.floor(random() * items.length)] ?? other
  const planned = Array.from({ length: count }, (_, index): Press & { number: number } => {
    const number = index + 1
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
  })
  const press = async (): Promise<void> => {
    for (let next = planned.shift(); next !== undefined; next = planned.shift()) {
      const { number, taskId, body } = next
      const { status, json } = await ask(hub, 'POST', `api/v1/agents/${agentId}/controls`, {
        ...body,
        taskId,
      })
      if (status === 200 || status === 201) {
        const { controlId, action, epoch, revision, lane, delivery } = json as ControlRecord
        accepted.push({
          number,
          taskId,
          controlId,
          action,
          epoch,
          revision,
          lane,
          delivery: delivery ?? 'atMostOnce',
        })
      }
      // The journal is slower than this loop; without a breath most controls would only supersede each other.
      await sleep(random() * PAUSE_MS)
    }
  }
  await Promise.all([press(), press()])
  return accepted
}

/** What the hub says in the end of every accepted control; waits until each is settled or `SETTLE_MS_MAX` is over. */
export async function finalStates(
  hub: HubAddress,
  accepted: readonly Issued[],
): Promise<readonly NumberedControl[]> {
  const giveUp = AbortSignal.timeout(SETTLE_MS_MAX)
  return Promise.all(
    accepted.map(async (control): Promise<NumberedControl> => {
      const path = `api/v1/controls/${encodeURIComponent(control.controlId)}?wait=5s&until=applied`
      for (;;) {
        const { status, json } = await ask(hub, 'GET', path)
        if (status !== 200) return { ...control, final: undefined }
        const { outcome, mayHaveApplied, epoch, revision } = json as ControlRecord
        const isSettled = outcome.state !== 'pending' && outcome.state !== 'delivered'
        if (isSettled || giveUp.aborted) {
          const final = { outcome, mayHaveApplied: mayHaveApplied === true }
          // One that the agent had refused as stale was issued again.
          return { ...control, epoch, revision, final }
        }
      }
    }),
  )
}
