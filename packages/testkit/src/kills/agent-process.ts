/** An agent as a process of its own, to be killed. Every control that takes effect becomes a line of an append-only log. */
import { createAgent, enroll, fileCredential, type Control } from '@downlink/agent'
import { delay, DownlinkError, isStateVerb, systemClock } from '@downlink/protocol'
import { fsyncSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { armKillPoint, endWithParent, parseKillPoint, stepField } from './kill-point.ts'

const ENROLL_TRIES = 50
const ENROLL_PAUSE_MS = 100

const { values } = parseArgs({
  options: {
    directory: { type: 'string', default: '.' },
    hub: { type: 'string', default: '' },
    agent: { type: 'string', default: 'agent-1' },
    life: { type: 'string', default: '0' },
    key: { type: 'string' },
    kill: { type: 'string' },
  },
})
endWithParent()
const point = parseKillPoint(values.kill)
if (point !== undefined) armKillPoint(point, { 'downlink:agent:control': stepField })

const effects = openSync(join(values.directory, 'effects.jsonl'), 'a')
const credential = fileCredential(join(values.directory, 'credential'))
if ((await credential.read()) === undefined) {
  const exchange = {
    enrollmentKey: values.key ?? '',
    agentId: values.agent,
    exchangeId: `exchange-${values.agent}`,
  }
  for (let left = ENROLL_TRIES; ; left--) {
    try {
      await enroll({ hub: values.hub, ...exchange, credential })
      break
    } catch (error) {
      // The hub may die under the exchange; the same one again burns nothing.
      if (left === 0 || (error instanceof DownlinkError && error.retry === 'never')) throw error
      await delay(systemClock, ENROLL_PAUSE_MS)
    }
  }
}
const agent = createAgent({
  hubs: [values.hub],
  credential,
  stateDirectory: values.directory,
  onControl(control: Control) {
    const { controlId, epoch = 0, revision = 0, lane = '', action, taskId } = control
    const delivery = isStateVerb(action) ? 'atLeastOnce' : 'atMostOnce'
    const life = Number(values.life)
    const effect = { atMs: Date.now(), life, controlId, epoch, revision, lane, action, taskId, delivery }
    writeSync(effects, `${JSON.stringify(effect)}\n`)
    fsyncSync(effects)
  },
})
agent.on('status', ({ status }) => {
  if (status.downlink === 'sse') console.log(JSON.stringify({ ready: true }))
})
const stop = new AbortController()
process.once('SIGTERM', () => stop.abort())
await agent.run({ signal: stop.signal })
