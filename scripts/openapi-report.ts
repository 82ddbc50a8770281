/**
 * The OpenAPI document of the operator API as a file: a change of it is seen in a review, whoever generates clients needs
 * no hub, and `npm run check` fails until `npm run api` has written it down. It also fails for a route without schemas.
 */

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { OperatorApiDescription } from '@downlink/hub/internal'
import { Validator } from '@seriousme/openapi-schema-validator'

import './node-version.js'
import { ROOT } from './run-command.ts'

export const OPENAPI_REMEDY =
  'Say of a route what is missing, with operation(); if the document was meant to change, run npm run api.'

const PATH = 'etc/openapi.json'

/** What is wrong with the routes and their document, or differs from the text that is committed; empty if nothing is. */
export async function openapiFaults(
  { document, faults }: OperatorApiDescription,
  committed: string,
): Promise<readonly string[]> {
  const { valid, errors = [] } = await new Validator().validate({ ...document })
  return [
    ...faults,
    ...(valid ? [] : [`The document is no OpenAPI 3.1: ${JSON.stringify(errors)}`]),
    ...(committed === openapiText({ document }) ? [] : [`${PATH} is not what the hub serves now.`]),
  ]
}

/** The document as it is committed. */
export function openapiText({ document }: Pick<OperatorApiDescription, 'document'>): string {
  return `${JSON.stringify(document, null, 2)}\n`
}

export async function openapiFaultsOf(root: string): Promise<readonly string[]> {
  const path = join(root, PATH)
  return openapiFaults(await describe(), existsSync(path) ? readFileSync(path, 'utf8') : '')
}

/** Imported when it is needed: the first step of the check builds it. */
async function describe(): Promise<OperatorApiDescription> {
  const { describeOperatorApi } = await import('@downlink/hub/internal')
  return describeOperatorApi()
}

if (import.meta.main) writeFileSync(join(ROOT, PATH), openapiText(await describe()))
