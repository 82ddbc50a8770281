import { limits } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { nextSyncMs } from './pace.ts'

const idle = { isStreaming: true, isWatched: false, hasRunningTasks: false, isCut: false }

describe('given an agent (R-53)', () => {
  test.each([
    ['with nothing to do, on a stream that works', idle, 60_000],
    ['with tasks at work', { ...idle, hasRunningTasks: true }, 10_000],
    ['without such a stream', { ...idle, isStreaming: false }, 10_000],
    ['that somebody looks at', { ...idle, isWatched: true }, 3_000],
    ['that somebody looks at, without a stream', { ...idle, isWatched: true, isStreaming: false }, 3_000],
    ['whose last reply could not carry everything', { ...idle, isCut: true }, limits.NEXT_SYNC_MS_MIN],
    ['of which both is so', { ...idle, isWatched: true, isCut: true }, limits.NEXT_SYNC_MS_MIN],
  ])('%s > is asked back in its time', (_what, agent, ms) => {
    expect(nextSyncMs(agent)).toBe(ms)
  })
})
