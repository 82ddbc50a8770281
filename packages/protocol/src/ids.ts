/** The shapes of ids and tokens. An id says where its record is kept, so that no lookup needs an index. */
import { ACTION_CHARS_MAX, ID_CHARS_MAX } from './limits.ts'

const AGENT_ID = new RegExp(`^[A-Za-z0-9][A-Za-z0-9._:@-]{0,${ID_CHARS_MAX - 1}}$`)
const TASK_ID = new RegExp(`^[\\x21-\\x7e]{1,${ID_CHARS_MAX}}$`)
const ACTION = new RegExp(`^[a-z][A-Za-z0-9._-]{0,${ACTION_CHARS_MAX - 1}}$`)
const KEY_PART = /^[A-Za-z0-9_-]{8,128}$/

/** Letters, digits and `._:@-`, 1 to 128 characters, beginning with a letter or digit. */
export function isAgentId(value: unknown): value is string {
  return typeof value === 'string' && AGENT_ID.test(value)
}

/** 1 to 128 printable ASCII characters without space. */
export function isTaskId(value: unknown): value is string {
  return typeof value === 'string' && TASK_ID.test(value)
}

/** A verb: 1 to 64 of letters, digits and `._-`, beginning with a lower-case letter. */
export function isAction(value: unknown): value is string {
  return typeof value === 'string' && ACTION.test(value)
}

/** `agentId~unique`: the agent's id stands in the control's, so its mailbox is found without an index. */
export function controlIdOf(agentId: string, unique: string): string {
  return `${agentId}~${unique}`
}

/** The agent that a control belongs to, or undefined if `controlId` is not one of ours. */
export function agentOfControl(controlId: string): string | undefined {
  const at = controlId.lastIndexOf('~')
  const agentId = controlId.slice(0, at)
  return at > 0 && at < controlId.length - 1 && isAgentId(agentId) ? agentId : undefined
}

/** What a token is for, and the first part of its text. */
export type TokenKind = 'agent' | 'enrollment' | 'operator'

const PREFIXES: Record<TokenKind, string> = { agent: 'dla', enrollment: 'dle', operator: 'dlo' }

/** A token taken apart. `owner` is the agent's id for an agent's key and empty otherwise. */
export interface TokenParts {
  readonly kind: TokenKind
  readonly owner: string
  readonly keyId: string
  readonly secret: string
}

/** `dla.<agent, hex>.<key id>.<secret>`, or `dle.` / `dlo.` `<key id>.<secret>`. */
export function formatToken(parts: TokenParts): string {
  const owner = parts.kind === 'agent' ? [hexOf(parts.owner)] : []
  return [PREFIXES[parts.kind], ...owner, parts.keyId, parts.secret].join('.')
}

/** Takes a token apart, or undefined if it has not the shape of one of kind `kind`. Says nothing about whether it is valid. */
export function parseToken(kind: TokenKind, token: string): TokenParts | undefined {
  const parts = token.split('.')
  if (parts.shift() !== PREFIXES[kind]) return undefined
  const owner = kind === 'agent' ? textOfHex(parts.shift() ?? '') : ''
  const [keyId, secret, ...rest] = parts
  if (owner === undefined || rest.length > 0 || !KEY_PART.test(keyId ?? '') || !KEY_PART.test(secret ?? ''))
    return undefined
  if (kind === 'agent' && !isAgentId(owner)) return undefined
  return { kind, owner, keyId: keyId ?? '', secret: secret ?? '' }
}

// Agent ids are ASCII, so one byte a character is exact, and this package stays free of Node's Buffer.
function hexOf(text: string): string {
  return Array.from(text, (char) => char.charCodeAt(0).toString(16).padStart(2, '0')).join('')
}

function textOfHex(hex: string): string | undefined {
  if (hex.length % 2 !== 0 || hex.length > ID_CHARS_MAX * 2 || !/^[0-9a-f]+$/.test(hex)) return undefined
  return hex.replace(/../g, (pair) => String.fromCharCode(Number.parseInt(pair, 16)))
}
