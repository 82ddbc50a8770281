/** A hub as a process of its own, to be killed. Prints one line of JSON when it listens. */
import { createHub, createOperatorToken, openSqliteStore } from '@downlink/hub'
import { systemClock } from '@downlink/protocol'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { writeBehind } from './write-behind.ts'
import { armKillPoint, endWithParent, parseKillPoint, stepField } from './kill-point.ts'

const { values } = parseArgs({
  options: {
    directory: { type: 'string' },
    port: { type: 'string', default: '0' },
    kill: { type: 'string' },
    mutant: { type: 'string', default: 'none' },
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
const store = values.mutant === 'commit-before-reply' ? writeBehind(durable, systemClock) : durable
const hub = await createHub({ store, clock: systemClock, heartbeatMs: 100 })
const url = await hub.listen({ host: '127.0.0.1', port: Number(values.port) })
const tokenFile = join(directory, 'operator-token')
if (!existsSync(tokenFile)) {
  const { token } = await createOperatorToken(store, {
    name: 'checker',
    scopes: ['read', 'control', 'run', 'admin'],
  })
  writeFileSync(tokenFile, token, { mode: 0o600 })
}
console.log(JSON.stringify({ url: url.href, token: readFileSync(tokenFile, 'utf8') }))
