/** GET /openapi.json and /docs: what the operator API is, for programs and for people. */
import { createHash } from 'node:crypto'
import type { JsonObject } from '@downlink/protocol'
import { operation } from './operation.ts'
import { openapiPage } from './openapi/openapi-page.ts'
import type { OperatorRoutes } from './operator-routes.ts'
import { PAGE_STYLE } from './openapi/page-style.ts'
import { documentReply, pageReply } from './reply-schemas.ts'
import { noQuery } from './request-schemas.ts'

/** The page runs nothing and loads nothing; its own style is the only one that it has. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(PAGE_STYLE).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** Adds the routes; they need no token, as there is nothing secret in them. */
export function addDocumentRoutes(routes: OperatorRoutes, document: () => JsonObject): void {
  const { app } = routes
  app.get(
    '/openapi.json',
    operation(
      routes,
      { operationId: 'getOpenapi', tag: 'Hub', summary: 'Read this document' },
      { querystring: noQuery, response: { 200: documentReply } },
    ),
    async () => document(),
  )
  app.get(
    '/docs',
    operation(
      routes,
      { operationId: 'getDocs', tag: 'Hub', summary: 'Read this document as a page' },
      { querystring: noQuery, response: { 200: pageReply } },
    ),
    async (_request, reply) =>
      reply
        .type('text/html; charset=utf-8')
        .header('Content-Security-Policy', CONTENT_SECURITY_POLICY)
        .header('X-Content-Type-Options', 'nosniff')
        .header('Referrer-Policy', 'no-referrer')
        .send(openapiPage(document())),
  )
}
