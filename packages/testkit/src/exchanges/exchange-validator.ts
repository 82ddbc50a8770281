/** Holds exchanges with a hub against the OpenAPI documents of its two APIs. */
import { ERROR_CODES, isJsonObject, type ErrorCode, type Json, type JsonObject } from '@downlink/protocol'
import { Ajv2020, type ErrorObject } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { closedDocument, readApiPaths, type ApiOperation, type Pointer } from './api-document.ts'
import type { Exchange } from './exchange.ts'

/** What there is to say of one exchange. */
export interface Verdict {
  /** `listAgents`, or what kind of request it was that no operation is for. */
  readonly operation: string
  /** What differs from the document, each a sentence; none for an exchange as it should be. */
  readonly faults: readonly string[]
  /** Whether a body could not be looked at, because it is longer than what is kept or did not come to its end. */
  readonly isCut: boolean
  readonly isSuccess: boolean
}

/** Holds exchanges against documents. */
export interface ExchangeValidator {
  /** The ids of all operations. */
  readonly operations: readonly string[]
  judge(exchange: Exchange): Verdict
}

/** Of the faults of one body. */
const FAULTS_MAX = 4
const JSON_TYPE = 'application/json'
/** What is not for the hub to answer. */
const OWN = "(the application's own)"
/** Answered before anybody looks for an operation. */
const BEFORE_ROUTING = new Set([400, 408, 413, 431, 503])

/** What stands around a hub that is part of an application. */
export interface Application {
  /** Stands before every path of the hub. */
  readonly basePath: string
  /** The paths that the application answers itself. */
  readonly ownPaths: RegExp
}

/** Makes a validator. Objects are closed in it: a member that the document does not have is a fault. */
export function createExchangeValidator(
  documents: readonly JsonObject[],
  application?: Application,
): ExchangeValidator {
  // OpenAPI has words of its own in schemas.
  const ajv = new Ajv2020({ strict: false, allErrors: true })
  addFormats.default(ajv)
  const paths = documents.flatMap((document, index) => {
    const id = `document-${index}`
    ajv.addSchema(closedDocument(document), id)
    return readApiPaths(document, id)
  })

  function check(pointer: Pointer, value: unknown, where: string): readonly string[] {
    const validate = ajv.getSchema(pointer)
    if (validate === undefined) throw new Error(`There is no schema at ${pointer}. Look at the document.`)
    if (validate(value) === true) return []
    return (validate.errors ?? []).slice(0, FAULTS_MAX).map((error) => `${where}${sentenceOf(error)}`)
  }

  function find(
    exchange: Exchange,
  ): { operation: ApiOperation; path: Readonly<Record<string, string>> } | string {
    if (exchange.url === undefined) return '(no request)'
    const [full = ''] = exchange.url.split('?', 1)
    if (application?.ownPaths.test(full) === true) return OWN
    // A hub that is mounted takes it away itself.
    const basePath = application?.basePath ?? ''
    const pathname = full.startsWith(`${basePath}/`) ? full.slice(basePath.length) : full
    for (const { pattern, operations } of paths) {
      const match = pattern.exec(pathname)
      if (match === null) continue
      const operation = operations.find(({ method }) => method === exchange.method)
      return operation === undefined ? '(no such method)' : { operation, path: { ...match.groups } }
    }
    return '(no such path)'
  }

  function requestFaults(
    exchange: Exchange,
    operation: ApiOperation,
    path: Readonly<Record<string, string>>,
  ): string[] {
    const { url = '', requestHeaders = {}, requestBody } = exchange
    const query = new URLSearchParams(url.split('?')[1] ?? '')
    const known = operation.parameters.filter((parameter) => parameter.in === 'query').map(({ name }) => name)
    const faults = [...query.keys()]
      .filter((name) => !known.includes(name))
      .map((name) => `the query has ${name}, which is not documented`)
    for (const parameter of operation.parameters) {
      const { name, required, schema } = parameter
      const [values, where] =
        parameter.in === 'path'
          ? [[decoded(path[name] ?? '')], `the path's ${name} `]
          : parameter.in === 'query'
            ? [query.getAll(name), `the query's ${name} `]
            : [[requestHeaders[name.toLowerCase()] ?? []].flat(), `the header ${name} `]
      if (values.length === 0 && required === true) faults.push(`${where}is missing`)
      for (const value of values) faults.push(...check(schema, value, where))
    }
    if (operation.needsCredential && requestHeaders.authorization !== 'Bearer') {
      faults.push('it has no bearer token, and was answered all the same')
    }
    if (requestBody === undefined) return faults
    return [
      ...faults,
      ...bodyFaults(operation.requestBody, requestHeaders, requestBody, "the request's body "),
    ]
  }

  function bodyFaults(
    content: ReadonlyMap<string, Pointer>,
    headers: Readonly<Record<string, string>>,
    body: string | undefined,
    where: string,
  ): readonly string[] {
    if (content.size === 0)
      return body === undefined || body === '' ? [] : [`${where}is there, and none is documented`]
    const type = typeOf(headers)
    const schema = content.get(type)
    if (schema === undefined) {
      return [`${where}is of the type "${type}"; documented is ${[...content.keys()].join(', ')}`]
    }
    if (body === undefined) return []
    if (type !== JSON_TYPE) return check(schema, body, where)
    const value = parsed(body)
    return value === undefined ? [`${where}is no JSON`] : check(schema, value, where)
  }

  function replyFaults(exchange: Exchange, { replies }: ApiOperation): readonly string[] {
    const { status, replyHeaders, replyBody } = exchange
    const reply = replies.get(status)
    if (reply === undefined) return [`the status ${status} is not documented`]
    return [
      ...reply.requiredHeaders
        .filter((name) => !(name in replyHeaders))
        .map((name) => `the reply ${status} lacks the header ${name}`),
      ...bodyFaults(reply.content, replyHeaders, replyBody, `the body of the reply ${status} `),
    ]
  }

  function judge(exchange: Exchange): Verdict {
    const { status, requestBody, replyBody, replyHeaders } = exchange
    const isRefusal = status >= 400
    const errorFaults = isRefusal ? faultsOfError(exchange) : []
    const found = find(exchange)
    const isStream = typeOf(replyHeaders) === 'text/event-stream'
    if (found === OWN) return { operation: OWN, faults: [], isCut: false, isSuccess: false }
    if (typeof found === 'string') {
      const expected = found === '(no such path)' ? 404 : 405
      const isExpected = status === expected || BEFORE_ROUTING.has(status)
      return {
        operation: found,
        faults: isExpected ? errorFaults : [...errorFaults, `the status is ${status}, not ${expected}`],
        isCut: replyBody === undefined,
        isSuccess: false,
      }
    }
    const { operation, path } = found
    // A request that was refused as wrong may be wrong.
    const isRequestJudged = status < 400 || status >= 500
    return {
      operation: operation.operationId,
      faults: [
        ...(isRequestJudged ? requestFaults(exchange, operation, path) : []),
        ...replyFaults(exchange, operation),
        ...errorFaults,
      ],
      isCut: (isRequestJudged && requestBody === undefined) || (replyBody === undefined && !isStream),
      isSuccess: !isRefusal,
    }
  }

  return {
    operations: paths.flatMap(({ operations }) => operations.map(({ operationId }) => operationId)),
    judge,
  }
}

/** What holds of every error, wherever it is answered (R-70). */
function faultsOfError({ method, status, replyHeaders, replyBody }: Exchange): readonly string[] {
  if (method === 'HEAD' || replyBody === undefined) return []
  const type = typeOf(replyHeaders)
  if (type !== JSON_TYPE) return [`the error ${status} is of the type "${type}", not ${JSON_TYPE}`]
  const body = parsed(replyBody)
  if (!isJsonObject(body ?? null)) return [`the error ${status} is no JSON object`]
  const { error, message } = body as JsonObject
  if (typeof message !== 'string') return [`the error ${status} has no message`]
  const known = typeof error === 'string' && Object.hasOwn(ERROR_CODES, error)
  if (!known) return [`the error ${status} has the code ${JSON.stringify(error)}, which is none of R-70`]
  const { status: own } = ERROR_CODES[error as ErrorCode]
  return own === status ? [] : [`the error ${error} has the status ${status}, not ${own}`]
}

function typeOf(headers: Readonly<Record<string, string>>): string {
  return (headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
}

function parsed(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json
  } catch {
    return undefined
  }
}

/** A path that cannot be decoded stays as it is. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function sentenceOf({ instancePath, message = 'is wrong', params }: ErrorObject): string {
  const { additionalProperty, allowedValues } = params as {
    additionalProperty?: string
    allowedValues?: unknown
  }
  const more = additionalProperty ?? allowedValues
  const detail = more === undefined ? '' : ` (${typeof more === 'string' ? more : JSON.stringify(more)})`
  return `${instancePath === '' ? '' : `at ${instancePath} `}${message}${detail}`
}
