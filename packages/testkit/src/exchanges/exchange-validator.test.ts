/** The validator of exchanges against exchanges that are as documented, and the same with one thing changed. */
import type { JsonObject } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { reportOf } from './exchange-report.ts'
import { createExchangeValidator } from './exchange-validator.ts'
import type { Exchange } from './exchange.ts'

const DOCUMENT: JsonObject = {
  openapi: '3.1.1',
  paths: {
    '/boxes/{id}': {
      post: {
        operationId: 'openBox',
        security: [{ token: ['control'] }],
        parameters: [
          { name: 'id', in: 'path', required: true, schema: { type: 'string', maxLength: 4 } },
          { name: 'wait', in: 'query', schema: { type: 'string', pattern: '^[0-9]+s$' } },
          { name: 'Idempotency-Key', in: 'header', schema: { type: 'string', maxLength: 4 } },
        ],
        requestBody: {
          required: true,
          content: { 'application/json': { schema: { $ref: '#/components/schemas/Opening' } } },
        },
        responses: {
          200: {
            description: 'It is open.',
            content: { 'application/json': { schema: { $ref: '#/components/schemas/Box' } } },
          },
          204: { description: 'It was.' },
          429: { $ref: '#/components/responses/TooMany' },
        },
      },
    },
    '/boxes/all': {
      get: {
        operationId: 'watchBoxes',
        security: [],
        responses: {
          200: { description: 'Frames.', content: { 'text/event-stream': { schema: { type: 'string' } } } },
        },
      },
    },
  },
  components: {
    schemas: {
      Opening: { type: 'object', required: ['by'], properties: { by: { type: 'string' } } },
      Box: {
        type: 'object',
        required: ['id', 'openedAt'],
        properties: {
          id: { type: 'string' },
          openedAt: { type: 'string', format: 'date-time' },
          size: { type: 'integer' },
        },
      },
      Error: {
        type: 'object',
        required: ['error', 'message'],
        properties: { error: { type: 'string' }, message: { type: 'string' } },
      },
    },
    responses: {
      TooMany: {
        description: 'Too many.',
        headers: { 'Retry-After': { required: true, schema: { type: 'integer' } } },
        content: {
          'application/json': {
            schema: {
              allOf: [
                { $ref: '#/components/schemas/Error' },
                { type: 'object', properties: { error: { enum: ['too_many_requests'] } } },
              ],
            },
          },
        },
      },
    },
  },
}
const JSON_HEADERS = { 'content-type': 'application/json; charset=utf-8' }
const OPENED: Exchange = {
  method: 'POST',
  url: '/boxes/b1?wait=5s',
  requestHeaders: { ...JSON_HEADERS, authorization: 'Bearer', 'idempotency-key': 'k1' },
  requestBody: '{"by":"ada"}',
  status: 200,
  replyHeaders: JSON_HEADERS,
  replyBody: '{"id":"b1","openedAt":"2026-01-31T12:00:00.000Z"}',
}
const error = (code: string, more: object = {}): string =>
  JSON.stringify({ error: code, message: 'So.', ...more })
const REFUSED: Exchange = {
  ...OPENED,
  status: 429,
  replyHeaders: { ...JSON_HEADERS, 'retry-after': '1' },
  replyBody: error('too_many_requests'),
}

const validator = createExchangeValidator([DOCUMENT])

describe('given an exchange as documented', () => {
  test.each<[string, Exchange]>([
    ['is a success', OPENED],
    ['is a refusal', REFUSED],
    ['refuses a request that is wrong', { ...REFUSED, requestBody: '{"no":1}', url: '/boxes/b1?no=1' }],
    ['has no body', { ...OPENED, status: 204, replyHeaders: {}, replyBody: '' }],
    [
      'is a stream',
      {
        method: 'GET',
        url: '/boxes/all',
        status: 200,
        replyHeaders: { 'content-type': 'text/event-stream' },
      },
    ],
    ['is for no path', { ...OPENED, url: '/box', status: 404, replyBody: error('not_found') }],
    ['is for no method', { ...OPENED, method: 'PUT', status: 405, replyBody: error('method_not_allowed') }],
    ['is for no request', { status: 400, replyHeaders: JSON_HEADERS, replyBody: error('bad_request') }],
  ])('when it %s > nothing is found', (_, exchange) => {
    expect(validator.judge(exchange).faults).toEqual([])
  })
})

describe('given an exchange with one thing changed', () => {
  test.each<[string, Exchange, RegExp]>([
    [
      'a member is renamed',
      { ...OPENED, replyBody: OPENED.replyBody?.replace('openedAt', 'opened') ?? '' },
      /must have required property 'openedAt'/,
    ],
    [
      'a member has another type',
      { ...OPENED, replyBody: OPENED.replyBody?.replace('"b1"', '1') ?? '' },
      /reply 200 at \/id must be string/,
    ],
    [
      'a member has another format',
      { ...OPENED, replyBody: OPENED.replyBody?.replace('T12', ' at 12') ?? '' },
      /at \/openedAt must match format/,
    ],
    [
      'a member is new',
      { ...OPENED, replyBody: OPENED.replyBody?.replace('{', '{"sise":1,') ?? '' },
      /must NOT have additional properties \(sise\)/,
    ],
    ['the body is no JSON', { ...OPENED, replyBody: '{' }, /reply 200 is no JSON/],
    [
      'the content type is another',
      { ...OPENED, replyHeaders: { 'content-type': 'text/html' } },
      /"text\/html"; documented is application\/json/,
    ],
    ['the status is another', { ...OPENED, status: 201 }, /status 201 is not documented/],
    ['a body comes where none is', { ...OPENED, status: 204 }, /none is documented/],
    [
      'the request lacks a member',
      { ...OPENED, requestBody: '{}' },
      /request's body must have required property 'by'/,
    ],
    ['the path is too long', { ...OPENED, url: '/boxes/b1234' }, /path's id must NOT have more than 4/],
    ['the query is wrong', { ...OPENED, url: '/boxes/b1?wait=soon' }, /query's wait must match pattern/],
    [
      'the query has more',
      { ...OPENED, url: '/boxes/b1?until=x' },
      /query has until, which is not documented/,
    ],
    [
      'a header is too long',
      { ...OPENED, requestHeaders: { ...OPENED.requestHeaders, 'idempotency-key': 'k1234' } },
      /header Idempotency-Key must NOT/,
    ],
    ['there is no token', { ...OPENED, requestHeaders: JSON_HEADERS }, /no bearer token/],
    [
      'a refusal does not say when',
      { ...REFUSED, replyHeaders: JSON_HEADERS },
      /lacks the header retry-after/,
    ],
    [
      'a refusal has another code',
      { ...REFUSED, replyBody: error('draining') },
      /must be equal to one of the allowed values \(\["too_many_requests"\]\)/,
    ],
    [
      'a refusal has more',
      { ...REFUSED, replyBody: error('too_many_requests', { hint: '' }) },
      /additional properties \(hint\)/,
    ],
    ['an unknown path is answered otherwise', { ...OPENED, url: '/box' }, /status is 200, not 404/],
    [
      'an error has no code of the table',
      { ...OPENED, url: '/box', status: 404, replyBody: error('nope') },
      /"nope", which is none of R-70/,
    ],
    [
      'an error has the status of another',
      { ...OPENED, url: '/box', status: 404, replyBody: error('bad_json') },
      /bad_json has the status 404, not 400/,
    ],
    [
      'an error is a page',
      { status: 400, replyHeaders: { 'content-type': 'text/html' }, replyBody: '<p>' },
      /"text\/html", not application\/json/,
    ],
  ])('when %s > it is found', (_, exchange, fault) => {
    expect(validator.judge(exchange).faults.join('\n')).toMatch(fault)
  })
})

test('given bodies that were cut > they are counted', () => {
  const { replyBody: _reply, ...noReply } = OPENED
  const { requestBody: _request, ...noRequest } = OPENED
  const { counts, faults } = reportOf([OPENED, noReply, noRequest], validator)
  expect([counts, faults]).toEqual([{ openBox: { exchanges: 3, successes: 3, cut: 2 } }, []])
})

test('given the same fault again and again > it is told once, with an example that shows no key', () => {
  const exchange = { ...OPENED, requestBody: '{"bye":"dla.a1.KEY.SECRET"}' }
  const { faults } = reportOf([exchange, exchange], validator)
  expect(faults).toHaveLength(2)
  expect(faults.join('\n')).toMatch(/^openBox: .*'by' \(2 ×, such as POST \/boxes\/b1\?wait=5s/)
  expect(faults.join('\n')).not.toContain('SECRET')
})
