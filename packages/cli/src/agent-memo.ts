/** What an agent's folder remembers beside its credential: who it is, and whose credential that is. */
import { arrayField, field, isJsonObject, limits, parseJson, stringField } from '@downlink/protocol'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { dataFolder, hasCode, readHubUrl, shownPath } from './discovery.ts'
import { CommandError, EXIT } from './exit-codes.ts'

const MEMO_FILE = 'agent.json'

/** A folder's memo. */
export interface AgentMemo {
  readonly agentId: string
  /** The hub, and mirrors of it. */
  readonly hubs: readonly string[]
  /** Whether the hub was found in `./.downlink`, where its port may be another one at the next start. */
  readonly isLocal: boolean
}

/** Where the folder keeps it. */
export function memoFile(folder: string): string {
  return join(folder, MEMO_FILE)
}

/** The folder's memo, or undefined before the first enrollment. */
export async function readAgentMemo(folder: string): Promise<AgentMemo | undefined> {
  const text = await readFile(memoFile(folder), 'utf8').catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return ''
    throw error
  })
  const json = parseJson(text, 8)
  if (!isJsonObject(json)) return undefined
  const agentId = stringField(json, 'agentId', limits.ID_CHARS_MAX)
  // A folder of an earlier version names one hub.
  const earlier = stringField(json, 'hub', limits.MESSAGE_CHARS_MAX)
  const named = arrayField(json, 'hubs', limits.MIRRORS_MAX).filter((hub) => typeof hub === 'string')
  const hubs = named.length === 0 && earlier !== undefined ? [earlier] : named
  return agentId === undefined || hubs.length === 0
    ? undefined
    : { agentId, hubs, isLocal: field(json, 'isLocal') === true }
}

/** What the command line says of it. */
export interface WantedAgent {
  /** Named in so many words, not made from a name. */
  readonly agentId?: string
  readonly hub?: readonly string[]
}

/**
 * Which hubs, under which id; a credential is only ever sent to the hub that gave it, and to mirrors named beside it.
 * @param agentId - of a folder that knows none.
 * @throws CommandError `usage` for another id or hub than the folder's, or if no hub is known at all.
 */
export async function agentMemo(
  cwd: string,
  folder: string,
  agentId: string,
  wanted: WantedAgent,
): Promise<AgentMemo> {
  const known = await readAgentMemo(folder)
  const shown = shownPath(cwd, folder)
  if (known !== undefined && wanted.agentId !== undefined && wanted.agentId !== known.agentId) {
    throw new CommandError(
      EXIT.usage,
      `The agent in ${shown} is ${known.agentId}. For another id take another --name or --data.`,
    )
  }
  const id = known?.agentId ?? agentId
  if (wanted.hub !== undefined) {
    const origins = new Set(known?.hubs.map(originOf))
    if (known !== undefined && !wanted.hub.some((hub) => origins.has(originOf(hub)))) {
      throw new CommandError(
        EXIT.usage,
        `The agent in ${shown} is enrolled with ${known.hubs.join(' and ')}, and its credential is not sent elsewhere. For another hub take another --name or --data; a mirror is named beside it.`,
      )
    }
    return { agentId: id, hubs: wanted.hub, isLocal: known?.isLocal ?? false }
  }
  if (known !== undefined && !known.isLocal) return known
  const found = await readHubUrl(dataFolder(cwd))
  const hubs = found === undefined ? known?.hubs : [found]
  if (hubs !== undefined) return { agentId: id, hubs, isLocal: true }
  throw new CommandError(
    EXIT.usage,
    'No hub was named, and ./.downlink knows of none. Start one here with: downlink up. Or name one: --hub URL --enrollment-key-file FILE',
  )
}

function originOf(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).origin : undefined
}
