/** The decoders that are measured: ours as it runs in Node, and eventsource-parser fed as its documentation says. */
import { createSseDecoder } from '@downlink/protocol'
import { createParser } from 'eventsource-parser'

export type CodecSubject = 'downlink' | 'eventsource-parser'

export const CODEC_SUBJECTS: readonly CodecSubject[] = ['downlink', 'eventsource-parser']

/** Hears what a decoder found. */
export interface Listener {
  event(name: string, data: string): void
  comment(text: string): void
}

/** Decodes one stream. */
export interface StreamDecoder {
  push(chunk: Uint8Array): void
}

export function createStreamDecoder(subject: CodecSubject, listener: Listener): StreamDecoder {
  return subject === 'downlink' ? ours(listener) : peer(listener)
}

function ours(listener: Listener): StreamDecoder {
  return createSseDecoder({
    event: (name, data) => listener.event(name, data),
    comment: (text) => listener.comment(text),
  })
}

function peer(listener: Listener): StreamDecoder {
  const utf8 = new TextDecoder()
  const parser = createParser({
    onEvent: ({ event, data }) => listener.event(event ?? 'message', data),
    onComment: (comment) => listener.comment(comment),
  })
  return { push: (chunk) => parser.feed(utf8.decode(chunk, { stream: true })) }
}
