/** An operator who presses buttons all the time, repeats what was not answered, and writes down every answer. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ControlRecord } from '@downlink/protocol'
import type { AcceptedControl } from '../simulation/checker.ts'

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

/** Issues `count` controls from the seed's sequence; returns those that were accepted, by the hub's own words. */
export async function issueControls(
  hub: HubAddress,
  agentId: string,
  count: number,
  random: () => number,
): Promise<readonly { controlId: string; taskId: string; action: string }[]> {
  const accepted: { controlId: string; taskId: string; action: string }[] = []
  const actions = ['pause', 'resume', 'bump', 'pause', 'resume', 'bump', 'cancel']
  const planned = Array.from({ length: count }, () => ({
    action: actions[Math.floor(random() * actions.length)] ?? 'pause',
    taskId: `t${1 + Math.floor(random() * 3)}`,
  }))
  const press = async (): Promise<void> => {
    for (let control = planned.shift(); control !== undefined; control = planned.shift()) {
      const { status, json } = await ask(hub, 'POST', `api/v1/agents/${agentId}/controls`, control)
      if (status === 200 || status === 201)
        accepted.push({ ...control, controlId: (json as ControlRecord).controlId })
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
  accepted: readonly { controlId: string; taskId: string; action: string }[],
): Promise<readonly AcceptedControl[]> {
  const giveUp = AbortSignal.timeout(SETTLE_MS_MAX)
  return Promise.all(
    accepted.map(async (control): Promise<AcceptedControl> => {
      const path = `api/v1/controls/${encodeURIComponent(control.controlId)}?wait=5s&until=applied`
      for (;;) {
        const { status, json } = await ask(hub, 'GET', path)
        if (status !== 200) return { ...control, final: undefined }
        const { outcome, mayHaveApplied } = json as ControlRecord
        const isSettled = outcome.state !== 'pending' && outcome.state !== 'delivered'
        if (isSettled || giveUp.aborted) {
          return { ...control, final: { outcome, mayHaveApplied: mayHaveApplied === true } }
        }
      }
    }),
  )
}
