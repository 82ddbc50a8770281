/** A process that is fed one hostile stream, or keeps one payload of each chunk, and says how much memory that took. */
import { readFileSync } from 'node:fs'
import { createStreamDecoder, type CodecSubject } from './codec-subjects.ts'
import { chunksOf, streamOf, workloadOf } from './workloads.ts'

export type Hostility = 'line' | 'event' | 'bare data lines' | 'comment'

export const HOSTILITIES: readonly Hostility[] = ['line', 'event', 'bare data lines', 'comment']

/** Either streams `offeredBytes` of it, or keeps payloads of a stream with or without characters beyond ASCII. */
export type MemoryRequest =
  | { readonly hostility: Hostility; readonly offeredBytes: number }
  | { readonly keepFrom: 'commands' | 'wide-commands' }

export interface MemoryAnswer {
  /** Growth of the peak (VmHWM), or memory per payload kept. */
  readonly bytes: number
  readonly offeredBytes: number
}

const subject = process.argv[2] as CodecSubject
const CHUNK_BYTES = 65_536
const PAYLOADS_KEPT = 400

const PARTS: Readonly<Record<Hostility, readonly [first: string, again: string]>> = {
  line: ['data: ', 'x'],
  event: ['', `data: ${'x'.repeat(1_017)}\n`],
  'bare data lines': ['', 'data\n'],
  comment: [': ', 'x'],
}

function peakBytes(): number {
  const [, kib = ''] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
  return Number(kib) * 1_024
}

function grow(hostility: Hostility, offeredBytes: number): MemoryAnswer {
  const [first, again] = PARTS[hostility]
  const chunk = Buffer.from(again.repeat(Math.ceil(CHUNK_BYTES / again.length)))
  warmUp()
  const beforeBytes = peakBytes()
  const decoder = createStreamDecoder(subject, { event: () => undefined, comment: () => undefined })
  let bytes = 0
  const offer = (part: Buffer): void => {
    bytes += part.length
    try {
      decoder.push(part)
    } catch {
      // A client would hang up at the first error; here the rest is offered all the same.
    }
  }
  offer(Buffer.from(first))
  while (bytes < offeredBytes) offer(chunk)
  return { bytes: peakBytes() - beforeBytes, offeredBytes: bytes }
}

function warmUp(): void {
  const chunks = chunksOf(streamOf(workloadOf('commands'), 8_388_608), '64 KiB')
  const decoder = createStreamDecoder(subject, { event: () => undefined, comment: () => undefined })
  for (const chunk of chunks) decoder.push(chunk)
}

/** Keeps one payload of each chunk, so that none shares with another what it pins. */
function keep(stream: Uint8Array): MemoryAnswer {
  const kept: string[] = []
  let wanted = false
  const decoder = createStreamDecoder(subject, {
    event: (_name, data) => {
      if (wanted && kept.push(data) > 0) wanted = false
    },
    comment: () => undefined,
  })
  const usedBytes = (): number => {
    globalThis.gc?.()
    globalThis.gc?.()
    return process.memoryUsage().heapUsed + process.memoryUsage().external
  }
  const chunks = chunksOf(stream, '64 KiB')
  let beforeBytes = 0
  for (let number = 0; number < PAYLOADS_KEPT + 50; number += 1) {
    if (number === 50) {
      kept.length = 0
      beforeBytes = usedBytes()
    }
    wanted = true
    decoder.push(chunks[number % chunks.length] as Buffer)
  }
  const bytes = (usedBytes() - beforeBytes) / kept.length
  return { bytes, offeredBytes: PAYLOADS_KEPT * CHUNK_BYTES }
}

process.on('message', (request: MemoryRequest) => {
  if ('hostility' in request) process.send?.(grow(request.hostility, request.offeredBytes))
  else process.send?.(keep(streamOf(workloadOf(request.keepFrom), 4 * CHUNK_BYTES)))
})
