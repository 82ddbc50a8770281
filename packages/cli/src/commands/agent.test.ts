import type { AgentStatus } from '@downlink/agent'
import { pathAdvice } from '@downlink/protocol'
import { expect, test } from 'vitest'
import { statusText } from './agent.ts'

const status = (downlink: AgentStatus['downlink'], path: Parameters<typeof pathAdvice>[0]): AgentStatus => ({
  standing: 'ok',
  downlink,
  hub: new URL('https://hub.test/'),
  sinceMs: 0,
  openControls: 0,
  unreportedOutcomes: 0,
  tasks: { queued: 0, running: 0, paused: 0, cancelled: 0, completed: 0, failed: 0 },
  journal: 'ok',
  path: { ...path, ...pathAdvice(path) },
})

test('given an agent without a stream > its line says what is seen of the path, and what to do', () => {
  const { sentence, remedy = 'none' } = pathAdvice({ verdict: 'login-page' })
  for (const downlink of ['long-poll', 'timer', 'offline'] as const)
    expect(statusText('box', status(downlink, { verdict: 'login-page' }))).toMatch(
      new RegExp(`^Agent box .*hub\\.test.* ${sentence} ${remedy}$`),
    )
  expect(statusText('box', status('sse', { verdict: 'one-behind' }))).toBe(
    'Agent box is connected to https://hub.test.',
  )
  expect(statusText('box', status('offline', { verdict: 'unknown' }))).toMatch(/tries again by itself\.$/)
})
