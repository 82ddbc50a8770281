/** What an echo proves of a stream. */
import { limits } from '@downlink/protocol'
import { expect, test } from 'vitest'
import { isStreamWorking, proofOf, type StreamEvidence } from './stream-proof.ts'

const HB = limits.HEARTBEAT_MS_DEFAULT
const SILENT = limits.LIVENESS_HEARTBEATS * HB
const old: StreamEvidence = { echoes: true, openForMs: 600_000, proof: undefined, heartbeatMs: HB }

test.each<[string, Partial<StreamEvidence>, boolean]>([
  ['no echo at all', {}, false],
  ['an echo of the last heartbeat', { proof: { roundTripMs: 40, agoMs: HB } }, true],
  ['an echo of one that came long ago', { proof: { roundTripMs: 40, agoMs: SILENT + 1 } }, false],
  ['an echo of one that was long on its way', { proof: { roundTripMs: SILENT + 1, agoMs: 5 } }, false],
  ['a stream that has just opened', { openForMs: 1_000 }, true],
  ['an original, which echoes nothing', { echoes: false }, true],
  [
    'short heartbeats on a busy machine',
    { heartbeatMs: 100, proof: { roundTripMs: 3_000, agoMs: 90 } },
    true,
  ],
])('given %s > whether the stream counts is %o', (_, evidence, expected) => {
  expect(isStreamWorking({ ...old, ...evidence })).toBe(expected)
})

test('given an echo of another hub’s heartbeat > it proves nothing', () => {
  expect(proofOf({ counter: 1, hubMs: 1, agoMs: 5 }, undefined)).toBeUndefined()
  expect(proofOf({ counter: 1, hubMs: 1, agoMs: 5 }, 30)).toEqual({ roundTripMs: 30, agoMs: 5 })
})
