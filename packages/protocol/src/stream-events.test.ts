/** The events of a stream: what a hub writes, as an original and as one of ours reads it. */
import { describe, expect, test } from 'vitest'
import type { Control } from './controls.ts'
import * as limits from './limits.ts'
import { createSseDecoder } from './sse/decode.ts'
import {
  advertisedHeartbeatMs,
  advertisedWindowMs,
  downlinkEvent,
  encodeCommands,
  encodeDrain,
  encodeHeartbeat,
  encodePreamble,
  encodeSync,
  parseHeartbeat,
  type DownlinkEvent,
} from './stream-events.ts'

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

/** Every event and comment of these frames, as an agent gets them. */
function read(...frames: readonly Uint8Array[]): DownlinkEvent[] {
  const events: DownlinkEvent[] = []
  const decoder = createSseDecoder({
    event: (name, data) => void events.push(downlinkEvent(name, data)),
    comment: (comment) => void events.push({ type: 'ping', comment }),
    retry: () => undefined,
  })
  for (const frame of frames) decoder.push(frame)
  decoder.end()
  return events
}

function control(index: number, args: Control['args']): Control {
  return {
    controlId: `agent-1~${index}`,
    epoch: 1,
    revision: index,
    lane: 'verb:tune',
    action: 'tune',
    taskId: 't1',
    args,
  }
}

describe('given a preamble (R-10)', () => {
  test('retry and heartbeat > stand exactly as originals expect them', () => {
    expect(text(encodePreamble(15_000, 2_000))).toBe('retry: 2000\n: connected hb=15000\n\n')
  })

  test('its comment > tells the heartbeat period', () => {
    const [ping] = read(encodePreamble(15_000, 2_000))
    expect(ping).toEqual({ type: 'ping', comment: 'connected hb=15000' })
    expect(advertisedHeartbeatMs('connected hb=15000')).toBe(15_000)
    expect(advertisedHeartbeatMs('connected hb=15000 jitter=5'), 'more may be added').toBe(15_000)
  })

  test('a window > stands behind it, in a comment of its own', () => {
    const frames = encodePreamble(15_000, 2_000, 20_000)
    expect(text(frames)).toBe('retry: 2000\n: connected hb=15000\n\n: window w=20000\n\n')
    const [, ping] = read(frames)
    expect(ping?.type === 'ping' && advertisedWindowMs(ping.comment)).toBe(20_000)
  })

  test('a window beyond the bound > is cut, and other comments tell none', () => {
    expect(advertisedWindowMs('window w=999999999')).toBe(limits.RECONNECT_WINDOW_MS_MAX)
    expect(advertisedWindowMs('window w=5 more=1'), 'more may be added').toBe(5)
    for (const comment of ['window', 'window w=', 'window w=-1', 'window w=5x', 'connected hb=1 w=5', '']) {
      expect(advertisedWindowMs(comment)).toBeUndefined()
    }
  })

  test.each(['connected', 'connected hb=', 'connected hb=x', 'hb n=1 t=2', ' connected hb=1', ''])(
    '"%s" > tells none',
    (comment) => {
      expect(advertisedHeartbeatMs(comment)).toBeUndefined()
    },
  )
})

describe('given a heartbeat', () => {
  test.each([
    [0, 0],
    [1, 1_767_225_600_000],
    [999_999_999_999_999, 999_999_999_999_999],
  ])('%i at %i > comes back as it was', (counter, hubMs) => {
    const [ping] = read(encodeHeartbeat({ counter, hubMs }))
    expect(ping?.type === 'ping' && parseHeartbeat(ping.comment)).toEqual({ counter, hubMs })
  })

  test('with the window of reconnects > both are read', () => {
    const [ping] = read(encodeHeartbeat({ counter: 1, hubMs: 2 }, 3_000))
    expect(ping).toEqual({ type: 'ping', comment: 'hb n=1 t=2 w=3000' })
    expect(parseHeartbeat('hb n=1 t=2 w=3000')).toEqual({ counter: 1, hubMs: 2 })
    expect(advertisedWindowMs('hb n=1 t=2 w=3000')).toBe(3_000)
    expect(advertisedWindowMs('hb n=1 t=2')).toBeUndefined()
  })

  test('with a word that comes later > is still a heartbeat', () => {
    expect(parseHeartbeat('hb n=1 t=2 node=3')).toEqual({ counter: 1, hubMs: 2 })
  })

  test.each([
    '',
    'hb',
    'hb n=1',
    'hb n=1 t=',
    'hb n=-1 t=2',
    'hb n=1 t=2.5',
    'hb n=1 t=2x',
    'connected hb=1',
  ])('"%s" > is another comment', (comment) => {
    expect(parseHeartbeat(comment)).toBeUndefined()
  })
})

describe('given commands (R-13)', () => {
  test('a few controls > go out in one frame, as wire.md has it', () => {
    const frames = encodeCommands([{ action: 'cancel', taskId: 't1', args: { deleteFiles: true } }])
    expect(frames.map(text)).toEqual([
      'event: command\ndata: {"controls":[{"deleteFiles":true,"action":"cancel","taskId":"t1","args":{"deleteFiles":true}}]}\n\n',
    ])
  })

  test('none > no frame', () => {
    expect(encodeCommands([])).toEqual([])
  })

  test.each([
    ['one byte', 'x'],
    ['three bytes', '語'],
    ['quotes to be escaped', '"'],
  ])(
    'more than a line holds, in letters of %s > frames within it, all controls in order',
    (_what, letter) => {
      const controls = Array.from({ length: 200 }, (_, index) =>
        control(index, letter.repeat(100 + index * 37)),
      )
      const frames = encodeCommands(controls)
      expect(frames.length).toBeGreaterThan(1)
      for (const frame of frames) {
        for (const line of text(frame).split('\n')) {
          expect(
            new TextEncoder().encode(line).length,
            'a line past it ends an original',
          ).toBeLessThanOrEqual(limits.SSE_DATA_LINE_BYTES_MAX)
        }
      }
      const back = read(...frames).flatMap((event) => (event.type === 'command' ? event.controls : []))
      expect(back).toEqual(controls)
    },
  )

  test('controls that fill a line to the last byte > stay within it', () => {
    for (let size = 0; size < 256; size++) {
      const controls = [control(1, 'x'.repeat(127_800 + size)), control(2, 'y'.repeat(127_800))]
      for (const frame of encodeCommands(controls)) {
        const longest = Math.max(
          ...text(frame)
            .split('\n')
            .map((line) => line.length),
        )
        expect(longest, `two controls, ${size}: the field name counts too`).toBeLessThanOrEqual(
          limits.SSE_DATA_LINE_BYTES_MAX,
        )
      }
    }
  })

  test('more controls than one message holds > several frames, none lost', () => {
    const controls = Array.from({ length: limits.CONTROLS_PER_MESSAGE_MAX + 1 }, (_, index) =>
      control(index, null),
    )
    const frames = encodeCommands(controls)
    expect(frames).toHaveLength(2)
    const back = read(...frames).flatMap((event) => (event.type === 'command' ? event.controls : []))
    expect(back).toEqual(controls)
  })
})

describe('given an event that came down (R-14)', () => {
  test('sync > keeps its reason', () => {
    expect(text(encodeSync('wake'))).toBe('event: sync\ndata: {"reason":"wake"}\n\n')
    expect(read(encodeSync('wake'))).toEqual([{ type: 'sync', reason: 'wake' }])
  })

  test.each(['', '{', 'null', '[]', '{"reason":5}', '{}', `${'['.repeat(10_000)}`])(
    'sync with unreadable data > is a sync still',
    (data) => {
      expect(downlinkEvent('sync', data)).toEqual({ type: 'sync', reason: '' })
    },
  )

  test.each(['{', '[]', 'null', '"x"', ''])('command with %s > is unknown, and kept raw', (data) => {
    expect(downlinkEvent('command', data)).toEqual({ type: 'unknown', event: 'command', data })
  })

  test('command without controls, or with others than controls > is an empty one', () => {
    expect(downlinkEvent('command', '{}')).toEqual({ type: 'command', controls: [] })
    expect(downlinkEvent('command', '{"controls":[1,{"action":"x"}]}')).toEqual({
      type: 'command',
      controls: [],
    })
  })

  test('deeper than JSON_DEPTH_MAX > is unknown, before anything recurses', () => {
    const nested = `{"controls":${'['.repeat(200_000)}${']'.repeat(200_000)}}`
    expect(downlinkEvent('command', nested).type).toBe('unknown')
  })

  test('a name of another time > is unknown, and kept raw', () => {
    expect(downlinkEvent('message', '{"a":1}')).toEqual({
      type: 'unknown',
      event: 'message',
      data: '{"a":1}',
    })
  })

  test.each([
    [1_500, 1_500],
    [limits.RETRY_MS_MAX + 1, limits.RETRY_MS_MAX],
    [Number.MAX_SAFE_INTEGER, limits.RETRY_MS_MAX],
  ])('drain in %i ms > %i ms: a long slot must not become none', (sent, read_) => {
    expect(read(encodeDrain(sent))).toEqual([{ type: 'drain', reconnectAfterMs: read_ }])
  })

  test.each(['{}', '{"reconnectAfterMs":-1}', '{"reconnectAfterMs":"5"}'])(
    'drain with %s > at once',
    (data) => {
      expect(downlinkEvent('drain', data)).toEqual({ type: 'drain', reconnectAfterMs: 0 })
    },
  )
})
