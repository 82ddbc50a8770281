/** `npm run bench:flame`: what the main thread of hub and agent does under each load of the bench, as flame graphs in docs/flames. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { startLoad } from '../fleet/load.ts'
import { streamsHere } from '../fleet/size.ts'
import { ACKNOWLEDGING, startOurs } from '../fleet/subject.ts'
import { controlTimesUs, withWhole } from '../whole.bench.ts'
import { flameGraph } from './flame-svg.ts'
import { flameTree, type CpuProfile } from './flame-tree.ts'

const FOLDER = new URL('../../docs/flames/', import.meta.url)
const STREAMS = streamsHere(10_000)
const HEARTBEAT_MS = 15_000
const OFTEN_MS = 1_000
/** Controls until what runs often is compiled, and those that are looked at. */
const WARM_UP = 300
const WHOLE_CONTROLS = 1_000

/** Something that can be asked for the profile of its own thread. */
interface Profiled {
  profile(work: () => Promise<unknown>): Promise<CpuProfile>
}

mkdirSync(FOLDER, { recursive: true })
await fleet(HEARTBEAT_MS, [
  ['accept', `${STREAMS} streams are accepted`, [`connect ${STREAMS}`]],
  ['post', 'controls, one POST each', [`throughput ${2 * STREAMS} 32`]],
  ['batches', 'controls in batches', [`batch ${STREAMS} 5`]],
  ['latency', 'one control after the other', ['latency 1500 500']],
])
await fleet(OFTEN_MS, [['heartbeats', `one frame to all ${STREAMS}`, ['heartbeats 15']]])
await whole()

/** Profiles of a hub, each under steps of the load generator, with all streams open but for the first. */
async function fleet(
  heartbeatMs: number,
  parts: readonly (readonly [string, string, readonly string[]])[],
): Promise<void> {
  await using hub = await startOurs({ streams: STREAMS, heartbeatMs })
  await using load = startLoad([
    '--url',
    hub.url,
    '--streams',
    String(STREAMS),
    ...hub.loadArgs,
    ...ACKNOWLEDGING,
  ])
  if (parts[0]?.[0] !== 'accept') await load.step(`connect ${STREAMS}`)
  for (const [name, what, steps] of parts) {
    await write(name, `Hub, main thread: ${what}`, hub, async () => {
      for (const step of steps) await load.step(step)
    })
    await load.step('settle 2')
  }
}

/** Profiles of hub and agent while an operator's controls are applied one after the other. */
function whole(): Promise<void> {
  return withWhole(async (parts) => {
    await controlTimesUs(parts, 'warm', WARM_UP)
    for (const [name, thread, title] of [
      ['whole-hub', parts.hub, 'Hub, main thread'],
      ['whole-agent', parts.agent, 'Agent'],
    ] as const) {
      await write(name, `${title}: operator → applied → settled`, thread, () =>
        controlTimesUs(parts, name, WHOLE_CONTROLS),
      )
    }
  })
}

async function write(
  name: string,
  title: string,
  thread: Profiled,
  work: () => Promise<unknown>,
): Promise<void> {
  const tree = flameTree(await thread.profile(work))
  const where = `${(tree.totalUs / 1e6).toFixed(1)} s at work, ${cpus()[0]?.model.trim() ?? 'unknown'}, Node ${process.version}`
  const file = new URL(`${name}.svg`, FOLDER)
  writeFileSync(file, flameGraph(tree, `${title} (${where})`))
  console.log(`Written to docs/flames/${name}.svg.`)
}
