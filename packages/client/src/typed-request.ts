/** Requests whose replies are checked, and listings that page by themselves. */
import type { DownlinkError, Json } from '@downlink/protocol'
import { sendRequest, type HubConnection, type HubRequest } from './hub-request.ts'
import { readPage } from './replies.ts'
import { badReplyError } from './reply-error.ts'

/** The reply as `read` reads it. @throws DownlinkError `bad_reply` where it cannot, and what {@link sendRequest} throws. */
export async function askFor<T>(
  connection: HubConnection,
  request: HubRequest,
  read: (json: Json) => T | undefined,
): Promise<T> {
  const reply = read(await sendRequest(connection, request))
  if (reply === undefined) throw badReply(connection, request, 'not with what was asked for')
  return reply
}

/** The items of all pages; the next page is asked for when the one before has been read. */
export async function* listPages<T>(
  connection: HubConnection,
  requestFor: (cursor: string | undefined) => HubRequest,
  read: (item: Json) => T | undefined,
): AsyncGenerator<T> {
  const pages = askPages(connection, requestFor, (json) => readPage(json, read))
  for await (const page of pages) yield* page.items
}

/** The same of whatever comes in parts: each part tells where to go on, but the last. */
export async function* askPages<P extends { readonly nextCursor?: string }>(
  connection: HubConnection,
  requestFor: (cursor: string | undefined) => HubRequest,
  read: (json: Json) => P | undefined,
): AsyncGenerator<P> {
  let cursor: string | undefined
  do {
    const request = requestFor(cursor)
    const page = await askFor(connection, request, read)
    yield page
    // Else a faulty hub would keep its client busy for ever.
    if (page.nextCursor !== undefined && page.nextCursor === cursor) {
      throw badReply(connection, request, 'with the same page again')
    }
    cursor = page.nextCursor
  } while (cursor !== undefined)
}

/** The member `name`, left out when there is no value: `exactOptionalPropertyTypes` tells the two apart. */
export function defined(name: string, value: Json | undefined): { readonly [key: string]: Json } {
  return value === undefined ? {} : { [name]: value }
}

/** An Idempotency-Key that nobody has used. */
export function freshKey(): string {
  return globalThis.crypto.randomUUID()
}

function badReply({ base }: HubConnection, { method, path }: HubRequest, fault: string): DownlinkError {
  return badReplyError(`${method} /api/v1${path} at ${base.host}`, fault)
}
