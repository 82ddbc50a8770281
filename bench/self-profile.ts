/** The CPU profile of this process's main thread, begun and ended when the bench asks. */
import { Session } from 'node:inspector/promises'
import type { CpuProfile } from './flame/flame-tree.ts'

/** What is asked. */
export interface ProfileRequest {
  readonly do: 'beginProfile' | 'endProfile'
}

const SAMPLE_US = 200
let session: Session | undefined

export function isProfileRequest(request: object): request is ProfileRequest {
  return 'do' in request && (request.do === 'beginProfile' || request.do === 'endProfile')
}

/** Answers the bench: that it has begun, then with the profile. */
export async function answerProfile(request: ProfileRequest): Promise<void> {
  process.send?.(request.do === 'beginProfile' ? await begin() : await end())
}

async function begin(): Promise<object> {
  session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.setSamplingInterval', { interval: SAMPLE_US })
  await session.post('Profiler.start')
  return {}
}

async function end(): Promise<CpuProfile> {
  if (session === undefined) throw new Error('No profile was begun. Mend the bench.')
  const { profile } = await session.post('Profiler.stop')
  session.disconnect()
  return profile
}
