/** Our hub as it is measured, on SQLite with every commit on the disk: FOLDER PORT HEARTBEAT_MS. Its requests are told apart by `do`. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createHub, openSqliteStore, type Hub } from '@downlink/hub'
import { limits } from '@downlink/protocol'
import { answerProfile, isProfileRequest, type ProfileRequest } from '../self-profile.ts'

/** What this process is asked. */
export type HubRequest =
  /** @param isHandedOver - the server outlives its hub, so that another can take over. */
  | { readonly do: 'start'; readonly isHandedOver: boolean }
  /** Another hub on the same store takes the agents of the first over that time. */
  | { readonly do: 'handOver'; readonly drainMs: number }
  | ProfileRequest

const [folder = '.', port = '0', heartbeatMs = '15000'] = process.argv.slice(2)
process.once('disconnect', () => process.exit())

const store = await openSqliteStore({ file: join(folder, 'hub.db') })
// Operators and agents send as fast as the hub answers: that is what is measured.
const startHub = (): Promise<Hub> =>
  createHub({
    store,
    heartbeatMs: Number(heartbeatMs),
    operatorRequestsPerS: limits.REQUESTS_PER_S_MAX,
    agentRequestsPerS: limits.REQUESTS_PER_S_MAX,
  })
let hub = await startHub()

process.on('message', (request: HubRequest) => void answer(request))

async function answer(request: HubRequest): Promise<void> {
  if (isProfileRequest(request)) return answerProfile(request)
  if (request.do === 'start') {
    const url = request.isHandedOver ? await listen() : (await hub.listen({ port: Number(port) })).href
    process.send?.({ url: url.replace(/\/$/, '') })
    return
  }
  const before = hub
  hub = await startHub()
  await before.drain({ drainMs: request.drainMs, restartMs: 0, deadlineMs: 2 * request.drainMs })
  process.send?.({ handedOver: true })
}

async function listen(): Promise<string> {
  const server = createServer((request, response) => hub.handler(request, response))
  server.listen(Number(port), '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
