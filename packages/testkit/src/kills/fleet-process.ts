/** Many agents in one process, which stays up while their hub is killed. Prints a line of JSON once all their streams have been open. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { endWithParent } from './kill-point.ts'
import { createSubject } from './subject-agent.ts'

/** Longest pause between two decisions of one agent, ms: of fifty some twenty a second, as many as there are controls. */
const DECIDE_MS_MAX = 5_000
/** Agents that enroll at once. */
const ENROLLING_MAX = 4

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    directory: { type: 'string', default: '.' },
    hub: { type: 'string', default: '' },
    seed: { type: 'string', default: '0' },
    key: { type: 'string', default: '' },
  },
})
endWithParent()
const waiting = new Set(positionals)
const ids = [...positionals]

async function start(agentId: string, index: number): Promise<void> {
  const directory = join(values.directory, agentId)
  await mkdir(directory, { recursive: true })
  const { agent, run } = await createSubject({
    directory,
    hub: values.hub,
    agentId,
    enrollmentKey: values.key,
    life: 0,
    seed: Number(values.seed) * 1_000 + index,
    mutant: 'none',
    hasTasks: true,
    decideMsMax: DECIDE_MS_MAX,
    publish: () => undefined,
  })
  agent.on('status', ({ status }) => {
    if (status.downlink !== 'sse' || !waiting.delete(agentId) || waiting.size > 0) return
    console.log(JSON.stringify({ ready: true }))
  })
  // They end with their process.
  void run(new AbortController().signal)
}

const starters = Array.from({ length: ENROLLING_MAX }, async () => {
  for (let id = ids.shift(); id !== undefined; id = ids.shift()) await start(id, ids.length)
})
await Promise.all(starters)
