/** GET /api/v1/audit: who did what, and what became of it, oldest first. */
import { agentOfControl, type AuditEntry, type Page } from '@downlink/protocol'
import { HubError } from '../hub-error.ts'
import type { HistoryPageRequest, HistoryScope, StoredHistoryEntry } from '../store/store.ts'
import type { OperatorRoutes } from './operator-routes.ts'
import { pageLimit, sequenceOf } from './operator-query.ts'
import { operation } from './operation.ts'
import { auditReply } from './reply-schemas.ts'
import { auditQuery } from './request-schemas.ts'

interface AuditQuery {
  limit?: string
  cursor?: string
  agentId?: string
  controlId?: string
  since?: string
}

/** Adds the route. */
export function addAuditRoute(routes: OperatorRoutes): void {
  const { app, store } = routes
  app.get<{ Querystring: AuditQuery }>(
    '/api/v1/audit',
    operation(
      routes,
      {
        operationId: 'listAudit',
        tag: 'Feed and audit',
        summary: 'Read the audit trail',
        description: 'Who did what, and what became of it, as long as the hub keeps it.',
        scope: 'read',
      },
      { querystring: auditQuery, response: { 200: auditReply } },
    ),
    async ({ query }): Promise<Page<AuditEntry>> => {
      const limit = pageLimit(query.limit)
      const after = sequenceOf(query.cursor)
      const sinceMs = wallTime(query.since)
      const page: HistoryPageRequest = {
        limit: limit + 1,
        ...(after === undefined ? {} : { after }),
        ...(sinceMs === undefined ? {} : { sinceMs }),
      }
      const found = await store.readHistory(scopeOf(query), page)
      const items = found.slice(0, limit).map(auditEntry)
      const last = items.at(-1)
      return { items, ...(found.length > limit && last !== undefined ? { nextCursor: last.id } : {}) }
    },
  )
}

function auditEntry({ sequence, atMs, ...fact }: StoredHistoryEntry): AuditEntry {
  return { id: String(sequence), at: new Date(atMs).toISOString(), ...fact }
}

/** @throws HubError `bad_request`. */
function scopeOf({ agentId, controlId }: AuditQuery): HistoryScope {
  if (controlId === undefined) return agentId === undefined ? {} : { agentId }
  const owner = agentOfControl(controlId)
  if (owner !== undefined && owner === (agentId ?? owner)) return { agentId: owner, controlId }
  throw new HubError(
    'bad_request',
    'The controlId is not one of that agent, or of any. Copy it whole, and leave the agentId out.',
  )
}

/** A day alone begins in UTC; a time needs a zone, or it would mean that of the hub's machine. @throws HubError `bad_request`. */
function wallTime(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const ms = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?$/.test(text)
    ? Date.parse(text)
    : NaN
  if (!Number.isNaN(ms)) return ms
  throw new HubError(
    'bad_request',
    'The time must be in ISO 8601 with its zone, such as 2026-01-31T12:00:00Z, or a day, such as 2026-01-31, in UTC. In a URL write %2B for +.',
  )
}
