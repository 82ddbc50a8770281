/** What reading leaves behind that only a full collection frees, in bytes that do not depend on how fast the machine is. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'

/** It is 8 once all is compiled; 2,090 where the engine takes the promises and closures of reads for long-lived. */
const OLD_BYTES_PER_AGENT_MAX = 400

test('given a fleet that connects > its reads leave next to nothing among the old objects', async () => {
  const program = new URL('../../test/read-costs-process.ts', import.meta.url)
  const child = fork(program, { execArgv: ['--conditions=@downlink/source', '--expose-gc'] })
  const ended = once(child, 'exit')
  const [oldBytes] = (await once(child, 'message')) as [number]
  await ended
  expect(oldBytes, 'look for literals that outlive two collections: see Slot').toBeLessThan(
    OLD_BYTES_PER_AGENT_MAX,
  )
})
