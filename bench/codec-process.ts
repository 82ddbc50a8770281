/** A process that decodes one workload with one subject, slice by slice as it is asked: no other row or subject warms or spoils its code and heap. */
import { createStreamDecoder, type CodecSubject, type Listener } from './codec-subjects.ts'
import { chunksOf, CUTS, streamOf, workloadOf, type Cut } from './workloads.ts'

/** Asks for a slice of at least this much CPU time, µs. */
export interface CodecSliceRequest {
  readonly cpuUs: number
}

/** What a slice did. CPU time is that of all threads, so that garbage counts as well. */
export interface CodecSlice {
  readonly bytes: number
  readonly cpuUs: number
}

const [subject = '', workloadName = '', cutName = ''] = process.argv.slice(2)
const cut: Cut | undefined = CUTS.find((each) => each === cutName)
if (cut === undefined) throw new RangeError(`There is no cut ${cutName}; there are ${CUTS.join(', ')}.`)
const stream = streamOf(workloadOf(workloadName), cut === '1–7 B' ? 131_072 : 1_048_576)
const chunks = chunksOf(stream, cut)

let seen = 0
const listener: Listener = {
  event: (name, data) => {
    // Read, so that a subject that only promises the text pays for it here.
    seen += name.length + data.charCodeAt(data.length >> 1)
  },
  comment: (text) => {
    seen += text.length
  },
}

function cpuUs(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

function slice(request: CodecSliceRequest): CodecSlice {
  const startUs = cpuUs()
  let bytes = 0
  let tookUs = 0
  do {
    const decoder = createStreamDecoder(subject as CodecSubject, listener)
    for (const chunk of chunks) decoder.push(chunk)
    bytes += stream.length
    tookUs = cpuUs() - startUs
  } while (tookUs < request.cpuUs)
  if (seen === 0) throw new Error('The decoder found nothing; see the test of the workloads.')
  return { bytes, cpuUs: tookUs }
}

process.on('message', (request: CodecSliceRequest) => process.send?.(slice(request)))
