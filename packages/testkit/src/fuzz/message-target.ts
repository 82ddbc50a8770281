/** Every reader of the protocol, with JSON that is nearly right and JSON that is not. */
import {
  advertisedHeartbeatMs,
  agentOfControl,
  canonicalJson,
  controlToJson,
  downlinkEvent,
  isAction,
  isAgentId,
  isTaskId,
  limits,
  parseControl,
  parseHeartbeat,
  parseJson,
  parseSyncReply,
  parseSyncRequest,
  parseToken,
  syncRequestToJson,
  type Control,
  type DownlinkEvent,
  type Json,
} from '@downlink/protocol'
import { isDeepStrictEqual } from 'node:util'
import { check, type FuzzTarget } from './fuzz-target.ts'
import { jsonBytes } from './json-text.ts'
import { checkMessage } from './plain-json.ts'
import { AGENT_BODIES, EVENT_DATA, OTHER_REPLIES, SYNC_REPLIES, SYNC_REQUESTS } from './samples.ts'

const SAMPLES = [...SYNC_REQUESTS, ...SYNC_REPLIES, ...EVENT_DATA, ...AGENT_BODIES, ...OTHER_REPLIES] as const

/** Any text: read without an error, into what is bounded and reads as itself. */
export const messages: FuzzTarget = {
  name: 'messages',
  generate: (chance) => jsonBytes(chance, SAMPLES as unknown as readonly [Json, ...Json[]]),
  run(input) {
    const text = Buffer.from(input).toString('utf8')
    readTexts(text)
    for (const event of ['sync', 'command', 'drain', 'message', '__proto__']) readEvent(event, text)
    const json = parseJson(text, limits.JSON_DEPTH_MAX)
    if (json === undefined) return
    check(
      isDeepStrictEqual(JSON.parse(canonicalJson(json)), withoutNegativeZero(json)),
      'canonical JSON means something else',
    )
    readMessages(json)
  },
}

function readMessages(json: Json): void {
  const request = parseSyncRequest(json)
  if (request !== undefined) {
    checkMessage('the sync request', request, (again) => parseSyncRequest(syncRequestToJson(again)))
  }
  checkMessage('the sync reply', parseSyncReply(json), (again) => parseSyncReply(again as unknown as Json))
  readControl(json)
}

function readControl(json: Json): void {
  const control = parseControl(json)
  if (control === undefined) return
  checkMessage<Control>('the control', control, (again) => parseControl(controlToJson(again)))
}

function readEvent(name: string, data: string): void {
  const event: DownlinkEvent = downlinkEvent(name, data)
  check(event.type === name || event.type === 'unknown', 'an event changed its name')
  if (event.type === 'unknown')
    check(event.event === name && event.data === data, 'an unknown event was changed')
  else checkMessage<DownlinkEvent>('the event', event, (again) => downlinkEvent(name, JSON.stringify(again)))
  if (event.type === 'command') for (const control of event.controls) readControl(controlToJson(control))
}

/** Those of plain text. */
function readTexts(text: string): void {
  const heartbeat = parseHeartbeat(text)
  if (heartbeat !== undefined) {
    check(
      Number.isSafeInteger(heartbeat.counter) && Number.isSafeInteger(heartbeat.hubMs),
      'a heartbeat of no integers',
    )
  }
  const advertisedMs = advertisedHeartbeatMs(text)
  if (advertisedMs !== undefined) check(Number.isSafeInteger(advertisedMs), 'a period of no integer')
  for (const kind of ['agent', 'operator', 'enrollment'] as const) parseToken(kind, text)
  for (const is of [isAgentId, isTaskId])
    if (is(text)) check(text.length <= limits.ID_CHARS_MAX, 'an id too long')
  if (isAction(text)) check(text.length <= limits.ACTION_CHARS_MAX, 'an action too long')
  agentOfControl(text)
}

/** As JSON text can write it. */
function withoutNegativeZero(json: Json): unknown {
  return JSON.parse(JSON.stringify(json))
}
