/** The documents that the exchanges of the end-to-end tests are held against. */
import { readFileSync } from 'node:fs'
import { isJsonObject, type Json, type JsonObject } from '@downlink/protocol'
import {
  createExchangeValidator,
  type Application,
  type ExchangeValidator,
} from '../../packages/testkit/src/exchanges/exchange-validator.ts'

/** That of the operators' API, which `npm run check` compares with what the hub serves, and that of the agents'. */
const PATHS = ['../../etc/openapi.json', '../../vectors/agent-api/openapi.json']

/** What the applications of a test file do besides their hubs. */
export interface ExampleApplications extends Application {
  /** The members that they add to the replies to syncs. */
  readonly syncMembers: readonly string[]
}

/** A validator of both. */
export function exchangeValidator(applications?: ExampleApplications): ExchangeValidator {
  const documents = PATHS.map((path) => readFileSync(new URL(path, import.meta.url), 'utf8'))
  return createExchangeValidator(
    documents.map((text) => JSON.parse(text, addSyncMembers) as JsonObject),
    applications,
  )

  function addSyncMembers(name: string, value: Json): Json {
    if (name !== 'SyncReply' || !isJsonObject(value)) return value
    const added = applications?.syncMembers.map((member) => [member, {}]) ?? []
    return { ...value, properties: { ...(value.properties as JsonObject), ...Object.fromEntries(added) } }
  }
}
