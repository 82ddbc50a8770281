/** A hub as a process of its own, to be killed. Prints one line of JSON when it listens. */
import { createHub, createOperatorToken, openSqliteStore } from '@downlink/hub'
import { delay, systemClock } from '@downlink/protocol'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { HUB_MUTANTS } from './hub-mutants.ts'
import { armKillPoint, endWithParent, parseKillPoint, stepField } from './kill-point.ts'

const LISTEN_TRIES = 50
const LISTEN_PAUSE_MS = 100

const { values } = parseArgs({
  options: {
    directory: { type: 'string' },
    port: { type: 'string', default: '0' },
    kill: { type: 'string' },
    mutant: { type: 'string', default: 'none' },
    heartbeat: { type: 'string', default: '100' },
  },
})
const { directory = '.' } = values
endWithParent()
const point = parseKillPoint(values.kill)
if (point !== undefined) {
  armKillPoint(point, {
    'downlink:hub:control': stepField,
    'downlink:hub:commit-sent': () => 'commit-sent',
  })
}
const durable = await openSqliteStore({ file: join(directory, 'hub.db'), clock: systemClock })
const store = HUB_MUTANTS[values.mutant]?.(durable, systemClock) ?? durable
const hub = await createHub({ store, clock: systemClock, heartbeatMs: Number(values.heartbeat) })
const url = await listen()
const tokenFile = join(directory, 'operator-token')
if (!existsSync(tokenFile)) {
  const { token } = await createOperatorToken(store, {
    name: 'checker',
    scopes: ['read', 'control', 'run', 'admin'],
  })
  writeFileSync(tokenFile, token, { mode: 0o600 })
}
console.log(JSON.stringify({ url: url.href, token: readFileSync(tokenFile, 'utf8') }))

/** An agent that dials while no hub is there may be given the hub's own port for its end, for a moment. */
async function listen(): Promise<URL> {
  for (let left = LISTEN_TRIES; ; left--) {
    try {
      return await hub.listen({ host: '127.0.0.1', port: Number(values.port) })
    } catch (error) {
      if (left === 0 || (error as { code?: unknown }).code !== 'EADDRINUSE') throw error
      await delay(systemClock, LISTEN_PAUSE_MS)
    }
  }
}
