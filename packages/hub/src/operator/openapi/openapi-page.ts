/** The OpenAPI document as a page that needs nothing else: no script, no other file. Pure. */
import { isJsonObject, type Json, type JsonObject } from '@downlink/protocol'
import { curlExample } from './curl-example.ts'
import { escapeHtml, proseHtml, textOf } from './page-text.ts'
import { memberRows, typeHtml } from './page-schemas.ts'
import { PAGE_STYLE } from './page-style.ts'

/** One operation with where it stands. */
interface PlacedOperation {
  readonly method: string
  readonly path: string
  readonly operation: JsonObject
}

/** The page. */
export function openapiPage(document: JsonObject): string {
  const { info, tags, paths, components } = document as Readonly<Record<string, JsonObject>>
  const { schemas, responses } = components as unknown as Named
  const operations = Object.entries(paths ?? {}).flatMap(([path, item]) =>
    Object.entries(item as JsonObject).map(([method, operation]): PlacedOperation => ({
      method,
      path,
      operation: operation as JsonObject,
    })),
  )
  const groups = (tags as unknown as readonly { name: string; description: string }[]).map((tag) => ({
    ...tag,
    operations: operations.filter(({ operation }) => (operation.tags as readonly Json[])[0] === tag.name),
  }))
  const title = escapeHtml(textOf(info?.title))
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<nav aria-label="Operations">
<p class="brand"><a href="#top">${title}</a></p>
${groups.map(navigation).join('\n')}
<h2><a href="#errors">Errors</a></h2>
<h2><a href="#schemas">Schemas</a></h2>
</nav>
<main id="top">
<h1>${title} <small>${escapeHtml(textOf(info?.version))}</small></h1>
${proseHtml(textOf(info?.description))}
<h2>Before you begin</h2>
<pre><code>HUB=http://127.0.0.1:8787            # where your hub is
TOKEN=$(cat .downlink/operator-token) # or one of your own</code></pre>
${groups.map((group) => section(group, { schemas, responses })).join('\n')}
<h2 id="errors">Errors</h2>
${proseHtml(textOf(schemas.Error?.description))}
${table(memberRows(schemas.Error ?? {}))}
${proseHtml(textOf(schemas.ErrorCode?.description))}
<h2 id="schemas">Schemas</h2>
${Object.entries(schemas).map(schemaSection).join('\n')}
</main>
</body>
</html>
`
}

/** What the document tells once, by name. */
interface Named {
  readonly schemas: Readonly<Record<string, JsonObject>>
  readonly responses: Readonly<Record<string, JsonObject>>
}

interface Group {
  readonly name: string
  readonly description: string
  readonly operations: readonly PlacedOperation[]
}

function navigation({ name, operations }: Group): string {
  const items = operations.map(
    ({ method, operation }) =>
      `<li><a href="#${textOf(operation.operationId)}"><b class="${method}">${method.toUpperCase()}</b> ${escapeHtml(textOf(operation.summary))}</a></li>`,
  )
  return `<h2>${escapeHtml(name)}</h2>\n<ul>${items.join('')}</ul>`
}

function section({ name, description, operations }: Group, named: Named): string {
  return `<h2>${escapeHtml(name)}</h2>
${proseHtml(description)}
${operations.map((placed) => article(placed, named)).join('\n')}`
}

function article({ method, path, operation }: PlacedOperation, { schemas, responses }: Named): string {
  const id = textOf(operation.operationId)
  const parameters = (operation.parameters ?? []) as readonly JsonObject[]
  const body = contentOf(operation.requestBody)
  const replies = Object.entries(operation.responses as Readonly<Record<string, JsonObject>>).map(
    ([status, reply]) =>
      [status, responses[textOf(reply.$ref).replace('#/components/responses/', '')] ?? reply] as const,
  )
  return `<article id="${id}">
<h3>${escapeHtml(textOf(operation.summary))} ${scopeHtml(operation)}</h3>
<p class="path"><b class="${method}">${method.toUpperCase()}</b> <code>${escapeHtml(path)}</code> <a href="#${id}" aria-label="Link to this">#</a></p>
${proseHtml(textOf(operation.description))}
<pre><code>${escapeHtml(curlExample(method, path, operation, schemas))}</code></pre>
${parameters.length === 0 ? '' : table(parameters.map(parameterRow))}
${body === undefined ? '' : `<p>Body: ${typeHtml(body)}</p>`}
<dl>${replies.map(replyHtml).join('')}</dl>
</article>`
}

function replyHtml([status, reply]: readonly [string, JsonObject]): string {
  const [media] = mediaOf(reply)
  const isTyped = status.startsWith('2') && media !== undefined
  const frame = media?.['x-itemSchema']
  const what = isTyped
    ? `<p>${typeHtml(media.schema as JsonObject)}</p>`
    : proseHtml(textOf(reply.description))
  const frames = frame === undefined ? '' : `<p>Its frames carry ${typeHtml(frame as JsonObject)}.</p>`
  return `<dt class="s${status[0] ?? ''}">${status}</dt><dd>${what}${frames}</dd>`
}

function scopeHtml(operation: JsonObject): string {
  const [requirement] = operation.security as readonly JsonObject[]
  const [scope] = (requirement?.operatorToken ?? []) as readonly Json[]
  return scope === undefined
    ? '<span class="scope none">no token</span>'
    : `<span class="scope ${textOf(scope)}">scope ${escapeHtml(textOf(scope))}</span>`
}

function parameterRow({ name, in: place, required, description, schema }: JsonObject): string {
  const of = schema as JsonObject
  return `<tr><td><code>${escapeHtml(textOf(name))}</code><br><small>${textOf(place)}${required === true ? ', required' : ''}</small></td><td>${typeHtml(of)}</td><td>${proseHtml(textOf(description))}</td></tr>`
}

function schemaSection([name, schema]: readonly [string, JsonObject]): string {
  const rows = memberRows(schema)
  const examples = (schema.examples ?? []) as readonly Json[]
  return `<section id="schema-${name}">
<h3>${name}</h3>
${name === 'ErrorCode' ? '<p><a href="#errors">See above.</a></p>' : proseHtml(textOf(schema.description))}
${rows.length === 0 ? `<p>${typeHtml(schema)}</p>` : table(rows)}
${examples.map((example) => `<pre><code>${escapeHtml(JSON.stringify(example, null, 2))}</code></pre>`).join('')}
</section>`
}

function table(rows: readonly string[]): string {
  return `<div class="wide"><table>${rows.join('')}</table></div>`
}

/** The schema of the first kind of content. */
function contentOf(holder: Json | undefined): JsonObject | undefined {
  const [media] = mediaOf(holder)
  return media?.schema as JsonObject | undefined
}

function mediaOf(holder: Json | undefined): readonly JsonObject[] {
  const content = isJsonObject(holder ?? null) ? (holder as JsonObject).content : undefined
  return isJsonObject(content ?? null) ? (Object.values(content as JsonObject) as readonly JsonObject[]) : []
}
