/** An agent as a process of its own, to be killed. Prints a line of JSON when its stream is open. */
import { channel } from 'node:diagnostics_channel'
import { parseArgs } from 'node:util'
import { armKillPoint, endWithParent, parseKillPoint, stepField } from './kill-point.ts'
import { createSubject } from './subject-agent.ts'

/** Longest pause between two decisions of its own, ms. */
const DECIDE_MS_MAX = 120

const { values } = parseArgs({
  options: {
    directory: { type: 'string', default: '.' },
    hub: { type: 'string', default: '' },
    agent: { type: 'string', default: 'agent-1' },
    life: { type: 'string', default: '0' },
    seed: { type: 'string', default: '0' },
    key: { type: 'string', default: '' },
    kill: { type: 'string' },
    mutant: { type: 'string', default: 'none' },
    tasks: { type: 'boolean', default: false },
  },
})
endWithParent()
const steps = channel('downlink:kills:agent')
const point = parseKillPoint(values.kill)
if (point !== undefined) {
  armKillPoint(point, {
    'downlink:agent:control': stepField,
    'downlink:agent:decision': () => 'deciding',
    'downlink:kills:agent': stepField,
  })
}
const { agent, run } = await createSubject({
  directory: values.directory,
  hub: values.hub,
  agentId: values.agent,
  enrollmentKey: values.key,
  life: Number(values.life),
  seed: Number(values.seed),
  mutant: values.mutant,
  hasTasks: values.tasks,
  decideMsMax: DECIDE_MS_MAX,
  publish: (step) => steps.publish({ step }),
})
agent.on('status', ({ status }) => {
  if (status.downlink === 'sse') console.log(JSON.stringify({ ready: true }))
})
const stop = new AbortController()
process.once('SIGTERM', () => stop.abort())
await run(stop.signal)
