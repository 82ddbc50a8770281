/** What keeping a small payload costs: the engine lets a slice pin the string that it was cut from, so that must be small. */
import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'

/** Decodes chunk after chunk, keeps one payload of each, and prints how much of the heap each one keeps alive. */
const KEEPER = `
  const [decoderUrl, kind] = process.argv.slice(-2)
  const { createSseDecoder } = await import(decoderUrl)
  const texts = { ASCII: ['task'], 'Latin-1': ['tâche'], 'two-byte': ['任務'], mixed: ['任務', ...Array(30).fill('task')] }
  const frames = Array.from({ length: 900 }, (_, n) =>
    'event: command\\ndata: {"action":"cancel","taskId":"' + texts[kind][n % texts[kind].length] + '-' + n + '"}\\n\\n')
  const chunk = Buffer.from(frames.join('').repeat(2)).subarray(0, 65_536)
  const KEPT = 2_000
  function keep(count) {
    const kept = []
    for (let number = 0; number < count; number += 1) {
      let wanted = true
      const decoder = createSseDecoder({
        event: (_name, data) => {
          if (wanted) kept.push(data)
          wanted = false
        },
        comment: () => {},
      })
      // Elsewhere in the text each time.
      decoder.push(chunk.subarray(number % 5_000))
    }
    return kept
  }
  keep(200)
  const used = () => { gc(); gc(); const { heapUsed, external } = process.memoryUsage(); return heapUsed + external }
  const before = used()
  const kept = keep(KEPT)
  const after = used()
  console.log(JSON.stringify({ kept: kept.length, bytes: (after - before) / kept.length, length: kept[0].length }))
`

test.each(['ASCII', 'Latin-1', 'two-byte', 'mixed'])(
  'given many kept payloads, %s > each pins at most 4 KiB',
  (kind) => {
    const decoderUrl = new URL('decode.ts', import.meta.url).href
    const options = ['--expose-gc', '--conditions=@downlink/source', '--input-type=module']
    const printed = execFileSync(process.execPath, [...options, '-e', KEEPER, '--', decoderUrl, kind])
    const { kept, bytes, length } = JSON.parse(printed.toString()) as Record<
      'kept' | 'bytes' | 'length',
      number
    >
    expect([kept, length > 13], 'the payloads must be kept, and long enough to be slices').toEqual([
      2_000,
      true,
    ])
    expect(bytes, 'decode smaller texts, or copy what is cut from larger ones').toBeLessThanOrEqual(4_096)
  },
)
