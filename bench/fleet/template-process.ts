/** Makes the database that every hub of a run begins with: FOLDER COUNT. Agents a0, a1 …, their keys in `keys`, one a line, and an operator's token in `token`. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createOperatorToken, openSqliteStore } from '@downlink/hub'
import { createAgents } from '@downlink/hub/internal'
import { systemClock } from '@downlink/protocol'

/** Enrolled at once: they share commits. */
const TOGETHER = 1_000

const [folder = '.', count = '0'] = process.argv.slice(2)

process.once('message', () => void make(Number(count)).then(() => process.send?.({ made: Number(count) })))
process.once('disconnect', () => process.exit())

async function make(agents: number): Promise<void> {
  await using store = await openSqliteStore({ file: join(folder, 'hub.db') })
  const enrolled = createAgents(store, systemClock)
  const keys: string[] = []
  for (let from = 0; from < agents; from += TOGETHER) {
    const batch = Array.from({ length: Math.min(TOGETHER, agents - from) }, (_, index) =>
      enrolled.mint({ agentId: `a${from + index}`, labels: {}, mayReplace: false, isRepeat: false }),
    )
    keys.push(...(await Promise.all(batch)).map(({ token }) => token))
  }
  const { token } = await createOperatorToken(store, { name: 'bench', scopes: ['admin'] })
  writeFileSync(join(folder, 'keys'), `${keys.join('\n')}\n`, { mode: 0o600 })
  writeFileSync(join(folder, 'token'), token, { mode: 0o600 })
}
