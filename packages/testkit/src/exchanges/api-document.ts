/** What the validator of exchanges reads of an OpenAPI 3.1 document. */
import { isJsonObject, type Json, type JsonObject } from '@downlink/protocol'

/** Where in its document something stands, as a reference to it. */
export type Pointer = string

/** A parameter of an operation. */
export interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly required?: boolean
  readonly schema: Pointer
}

/** What an operation may answer with under one status. */
export interface Reply {
  /** The schema for each content type; none for a reply without a body. */
  readonly content: ReadonlyMap<string, Pointer>
  /** Fields of the head that it must have. */
  readonly requiredHeaders: readonly string[]
}

/** One operation. */
export interface ApiOperation {
  readonly operationId: string
  readonly method: string
  readonly needsCredential: boolean
  readonly parameters: readonly Parameter[]
  /** The schema for each content type that it takes. */
  readonly requestBody: ReadonlyMap<string, Pointer>
  readonly replies: ReadonlyMap<number, Reply>
}

/** One path, with its operations by method. */
export interface ApiPath {
  readonly pattern: RegExp
  readonly operations: readonly ApiOperation[]
}

/** Reads the paths of a document, those without parameters first, as OpenAPI wants them matched. @param id - what pointers begin with. */
export function readApiPaths(document: JsonObject, id: string): readonly ApiPath[] {
  return Object.entries(objectOf(document.paths))
    .toSorted(([a], [b]) => Number(a.includes('{')) - Number(b.includes('{')))
    .map(([template, item]) => ({
      pattern: patternOf(template),
      operations: Object.entries(objectOf(item)).map(([method, operation]) =>
        readOperation(document, method.toUpperCase(), objectOf(operation), [
          id,
          'paths',
          template,
          method.toLowerCase(),
        ]),
      ),
    }))
}

/**
 * The document with every object closed that says nothing of further members: a reader must pass over what it does not
 * know, but what our own ends send stands in the document, or a misspelt member would be taken for a missing one.
 */
export function closedDocument(document: JsonObject): JsonObject {
  return closed(document, false) as JsonObject
}

/** @param isPart - whether it describes a part of an object only, as the members of `allOf` do. */
function closed(value: Json, isPart: boolean): Json {
  if (Array.isArray(value)) return (value as readonly Json[]).map((each) => closed(each, isPart))
  if (!isJsonObject(value)) return value
  const entries = Object.entries(value).map(([key, each]) => [key, closed(each, key === 'allOf')] as const)
  const isOpenObject =
    value.type === 'object' && isJsonObject(value.properties ?? null) && !('additionalProperties' in value)
  return {
    ...Object.fromEntries(entries),
    ...(isOpenObject && !isPart ? { additionalProperties: false } : {}),
  }
}

function readOperation(
  document: JsonObject,
  method: string,
  operation: JsonObject,
  path: readonly string[],
): ApiOperation {
  const parameters = (operation.parameters ?? []) as unknown as readonly Omit<Parameter, 'schema'>[]
  return {
    operationId: operation.operationId as string,
    method,
    needsCredential: (operation.security as readonly Json[]).length > 0,
    parameters: parameters.map((parameter, index) => ({
      ...parameter,
      schema: pointerOf([...path, 'parameters', String(index), 'schema']),
    })),
    requestBody: contentOf(objectOf(operation.requestBody), [...path, 'requestBody']),
    replies: new Map(
      Object.entries(objectOf(operation.responses)).map(([status, reply]) => [
        Number(status),
        readReply(document, objectOf(reply), [...path, 'responses', status]),
      ]),
    ),
  }
}

function readReply(document: JsonObject, reply: JsonObject, path: readonly string[]): Reply {
  if (typeof reply.$ref === 'string') {
    const target = reply.$ref.slice('#/'.length).split('/')
    const found = target.reduce<Json>((value, name) => objectOf(value)[name] ?? null, document)
    return readReply(document, objectOf(found), [path[0] ?? '', ...target])
  }
  return {
    content: contentOf(reply, path),
    requiredHeaders: Object.entries(objectOf(reply.headers))
      .filter(([, header]) => objectOf(header).required === true)
      .map(([name]) => name.toLowerCase()),
  }
}

function contentOf(described: JsonObject, path: readonly string[]): ReadonlyMap<string, Pointer> {
  const types = Object.keys(objectOf(described.content))
  return new Map(types.map((type) => [type, pointerOf([...path, 'content', type, 'schema'])]))
}

function patternOf(template: string): RegExp {
  const source = template.replaceAll('.', '\\.').replaceAll(/\{(\w+)\}/g, '(?<$1>[^/]+)')
  return new RegExp(`^${source}$`)
}

/** As RFC 6901 writes it in the fragment of a URI. */
function pointerOf([id = '', ...names]: readonly string[]): Pointer {
  return `${id}#/${names.map((name) => encodeURIComponent(name.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/')}`
}

function objectOf(value: Json | undefined): JsonObject {
  return isJsonObject(value ?? null) ? (value as JsonObject) : {}
}
