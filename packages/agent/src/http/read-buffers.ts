/** Memory for what comes from hubs, used again and again: what is allocated for each read would lie about in tens of megabytes before it is collected. */
import { limits } from '@downlink/protocol'

const spare: Uint8Array<ArrayBuffer>[] = []

/** A buffer of `READ_BUFFER_BYTES`, holding anything. */
export function takeReadBuffer(): Uint8Array<ArrayBuffer> {
  return spare.pop() ?? new Uint8Array(limits.READ_BUFFER_BYTES)
}

/** Gives a buffer back; nobody may look at it any more. */
export function giveReadBuffer(buffer: Uint8Array<ArrayBuffer>): void {
  if (spare.length < limits.SPARE_READ_BUFFERS_MAX) spare.push(buffer)
}
