import { limits } from '@downlink/protocol'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { expect, onTestFinished, test } from 'vitest'
import { createAgent } from './index.ts'
import { createTestClock, createTestHub, passTime } from './testing/index.ts'

test('given a whole agent whose machine was suspended > it dials anew and syncs, without waiting for either to be due', async () => {
  const clock = createTestClock()
  const hub = createTestHub({ clock, nextSyncMs: limits.NEXT_SYNC_MS_MAX })
  let dials = 0
  const count = (): void => void (dials += 1)
  subscribe('downlink:agent:connect', count)
  onTestFinished(() => void unsubscribe('downlink:agent:connect', count))
  const agent = createAgent({ ...hub.agentOptions, onControl: () => undefined })
  void agent.run()
  await passTime(clock, 2 * limits.CLOCK_GAP_CHECK_MS)
  const syncs = hub.syncs.length
  expect([dials, hub.isStreaming]).toEqual([1, true])

  clock.setWallMs(clock.wallMs() + 3_600_000)
  await passTime(clock, limits.CLOCK_GAP_CHECK_MS + limits.RECONNECT_WINDOW_MS_MIN)
  expect([dials, hub.isStreaming]).toEqual([2, true])
  expect(hub.syncs.length).toBeGreaterThan(syncs)
  await agent[Symbol.asyncDispose]()
  await hub[Symbol.asyncDispose]()
})
