/** GET /api/v1/events: the feed of what changes, as an event stream that can be resumed. */
import { limits, type Clock } from '@downlink/protocol'
import type { FastifyReply } from 'fastify'
import type { ServerResponse } from 'node:http'
import type { Feed, FeedSink } from '../feed/feed.ts'
import { HubError } from '../hub-error.ts'
import type { OperatorRoutes } from './operator-routes.ts'
import { sequenceOf } from './operator-query.ts'
import { operation } from './operation.ts'
import { feedEvent, feedReply } from './reply-schemas.ts'
import { feedHeaders, feedQuery } from './request-schemas.ts'

interface FeedRequest {
  Querystring: { after?: string; agentId?: string }
  Headers: { 'last-event-id'?: string }
}

/** Adds the route. */
export function addFeedRoute(routes: OperatorRoutes): void {
  const { app, operatorOf, findAgent, feed, clock, isDraining } = routes
  app.get<FeedRequest>(
    '/api/v1/events',
    operation(
      routes,
      {
        operationId: 'streamEvents',
        tag: 'Feed and audit',
        summary: 'Follow what happens',
        description: `A stream of Server-Sent Events that does not end. \`agent\`, \`task\` and \`control\` carry the whole record in their data: controls as they were then, agents and tasks as they are now, so keep the last of each. An agent is also told when its \`status\` changes; what time alone makes of it (\`late\`, \`offline\`) within ${limits.PRESENCE_LOOK_MS / 1_000} s. Such a frame has no id, as presence is not in history. \`begin\` says where the feed is before anything happens: list only once it has come. After \`reset\` what was shown may be out of date, so read the listings again; its data says why. A comment (\`: hb\`) comes every 15 s; a feed that is silent for longer is dead. The id of a frame is a place to go on from, for presence too: after a break send the last one as \`Last-Event-ID\`, or as \`after\`.`,
        scope: 'read',
        errors: ['agent_not_found', 'draining', 'too_many_waiters'],
        frame: feedEvent,
      },
      { querystring: feedQuery, headers: feedHeaders, response: { 200: feedReply } },
    ),
    async (request, reply) => {
      // A browser that reconnects by itself repeats its query, so what it has seen since goes first.
      const after = sequenceOf(request.headers['last-event-id'] ?? request.query.after)
      const { agentId } = request.query
      if (agentId !== undefined) await findAgent(agentId)
      if (isDraining())
        throw new HubError('draining', 'This hub is stopping. Use another, or come back shortly.')
      const { tokenId, expiresAtServiceMs } = operatorOf(request)
      serve(feed, reply, clock, {
        tokenId,
        ...(expiresAtServiceMs === undefined ? {} : { expiresAtServiceMs }),
        ...(after === undefined ? {} : { after }),
        ...(agentId === undefined ? {} : { agentId }),
      })
    },
  )
}

function serve(
  feed: Feed,
  reply: FastifyReply,
  clock: Clock,
  subscription: Parameters<Feed['subscribe']>[1],
): void {
  const response = reply.raw
  const sink = createSink(response, clock)
  const subscribed = feed.subscribe(sink, subscription)
  reply.hijack()
  response.once('close', () => subscribed[Symbol.dispose]())
  response.on('error', () => {})
  response.writeHead(200, {
    'Content-Type': 'text/event-stream',
    // Whatever compresses it on the way would hold it back.
    'Cache-Control': 'no-store, no-transform',
    'X-Accel-Buffering': 'no',
  })
  response.write(`retry: ${limits.FEED_RETRY_MS}\n\n`)
}

function createSink(response: ServerResponse, clock: Clock): FeedSink {
  return {
    get queuedBytes() {
      return response.writableLength
    },
    write: (frame) => void response.write(frame),
    end: () => void response.end(),
    async drained() {
      if (!response.writableNeedDrain || response.destroyed) return
      const { promise, resolve } = Promise.withResolvers<void>()
      const stalled = clock.setTimer(limits.STREAM_STALL_MS_MAX, () => response.destroy())
      response.once('drain', resolve)
      response.once('close', resolve)
      await promise
      stalled.cancel()
      response.off('drain', resolve)
      response.off('close', resolve)
    },
  }
}
