/** The API described: as OpenAPI for programs, and as a page for people that loads nothing and runs no script. */
import { createHash } from 'node:crypto'
import { OpenAPIHono } from '@hono/zod-openapi'
import { html, raw } from 'hono/html'
import { z } from 'zod'
import { type ApiEnv, content, route } from './route.ts'

/** An OpenAPI 3.1 document. */
export type OpenApiDocument = ReturnType<OpenAPIHono['getOpenAPI31Document']>

/** The part of a JSON schema that the page shows. */
interface Schema {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly format?: string
  readonly description?: string
  readonly enum?: readonly unknown[]
  readonly items?: Schema
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: Schema | boolean
  readonly [limit: string]: unknown
}

interface DocumentedOperation {
  readonly tags?: readonly string[]
  readonly summary?: string
  readonly description?: string
  readonly parameters?: readonly { name: string; in: string; required?: boolean; schema: Schema }[]
  readonly requestBody?: { content: Record<string, { schema: Schema }> }
  readonly responses: Record<string, { description: string; content?: Record<string, { schema: Schema }> }>
}

type Html = ReturnType<typeof html>

/** Limits of a schema that are shown beside its type. */
const LIMITS = ['minimum', 'maximum', 'minLength', 'maxLength', 'maxItems', 'pattern', 'default'] as const

const STYLE = `
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2430;background:#fff}
code,pre{font:14px/1.4 ui-monospace,monospace}h2{margin-top:3rem;border-bottom:1px solid #ccd3dc}
section{margin:1.5rem 0}h3 code{background:#eef1f5;padding:.2rem .4rem;border-radius:.2rem}
table{border-collapse:collapse;width:100%;margin:.75rem 0}td{border-top:1px solid #e3e8ee;padding:.3rem .6rem .3rem 0;vertical-align:top}
.quiet{color:#5a6675}a{color:#0b62c4}
@media(prefers-color-scheme:dark){body{color:#dbe2ea;background:#12171e}h3 code{background:#222b36}
h2,td{border-color:#303b48}.quiet{color:#94a2b3}a{color:#7ab8ff}}`

const POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

const getOpenApi = route({
  method: 'get',
  path: '/api/v1/openapi.json',
  operationId: 'getOpenApi',
  tags: ['Operation'],
  summary: 'This description as OpenAPI 3.1',
  responses: {
    200: { description: 'the document', content: content(z.looseObject({ openapi: z.string() })) },
  },
})

/**
 * Routes `/api/v1/openapi.json` and `/docs`.
 * @param describe Gives the document, when all routes are there.
 */
export function docs(describe: () => OpenApiDocument): OpenAPIHono<ApiEnv> {
  let made: { document: OpenApiDocument; page: string } | undefined
  const make = () => {
    if (made === undefined) {
      const document = describe()
      made = { document, page: String(pageOf(document)) }
    }
    return made
  }
  const app = new OpenAPIHono<ApiEnv>()
  app.openapi(getOpenApi, (c) => c.json(make().document as Pick<OpenApiDocument, 'openapi'>, 200))
  app.get('/docs', (c) => c.html(make().page, 200, { 'Content-Security-Policy': POLICY }))
  return app
}

function pageOf(document: OpenApiDocument): Html {
  const tags = new Map<string, Html[]>()
  for (const [path, methods] of Object.entries(document.paths ?? {}))
    for (const [method, operation] of Object.entries(methods as Record<string, DocumentedOperation>)) {
      const tag = operation.tags?.[0] ?? ''
      tags.set(tag, [...(tags.get(tag) ?? []), operationOf(method, path, operation)])
    }
  const schemas = Object.entries((document.components?.schemas ?? {}) as Record<string, Schema>)
  return html`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${document.info.title}</title>
<style>${raw(STYLE)}</style></head>
<body><h1>${document.info.title} ${document.info.version}</h1>
<p>${document.info.description} For programs: <a href="/api/v1/openapi.json">OpenAPI</a>.</p>
${[...tags].map(([tag, operations]) => html`<h2>${tag}</h2>${operations}`)}
<h2>Schemas</h2>
${schemas.map(([name, schema]) => html`<section id="${name}"><h3><code>${name}</code></h3>${schemaOf(schema)}</section>`)}
</body></html>`
}

/** Text with code between backticks. */
function prose(text = ''): (Html | string)[] {
  return text.split('`').map((part, i) => (i % 2 === 1 ? html`<code>${part}</code>` : part))
}

function operationOf(method: string, path: string, operation: DocumentedOperation): Html {
  const parameters = (operation.parameters ?? []).map(
    ({ name, in: part, required, schema }) =>
      html`<tr><td><code>${name}</code></td><td>${part}${required ? ', required' : ''}</td>
<td>${typeOf(schema)} <span class="quiet">${prose(schema.description)}</span></td></tr>`,
  )
  const body = operation.requestBody && Object.entries(operation.requestBody.content)
  const responses = Object.entries(operation.responses).map(
    ([status, { description, content: types }]) =>
      html`<tr><td>${status}</td><td>${prose(description)}</td>
<td>${Object.entries(types ?? {}).map(([type, { schema }]) => html`${typeOf(schema)} <span class="quiet">${type}</span>`)}</td></tr>`,
  )
  return html`<section><h3><code>${method.toUpperCase()} ${path}</code> ${operation.summary}</h3>
<p>${prose(operation.description)}</p>
${parameters.length > 0 ? html`<table>${parameters}</table>` : ''}
${body ? html`<p>Body: ${body.map(([type, { schema }]) => html`${typeOf(schema)} <span class="quiet">${type}</span>`)}</p>` : ''}
<table>${responses}</table></section>`
}

function schemaOf(schema: Schema): Html {
  if (schema.properties === undefined) return html`<p>${typeOf(schema)} ${prose(schema.description)}</p>`
  return html`<table>${Object.entries(schema.properties).map(
    ([name, property]) =>
      html`<tr><td><code>${name}</code></td><td>${schema.required?.includes(name) ? 'required' : ''}</td>
<td>${typeOf(property)} <span class="quiet">${prose(property.description)}</span></td></tr>`,
  )}</table>`
}

function typeOf(schema: Schema): Html {
  if (schema.$ref !== undefined) {
    const name = schema.$ref.split('/').at(-1)
    return html`<a href="#${name}">${name}</a>`
  }
  if (schema.enum) return html`${schema.enum.map((value) => JSON.stringify(value)).join(' | ')}`
  const choices = schema.anyOf ?? schema.oneOf
  if (choices) return html`${choices.map((choice, i) => html`${i > 0 ? ' | ' : ''}${typeOf(choice)}`)}`
  if (schema.items) return html`list of ${typeOf(schema.items)}`
  if (schema.properties)
    return html`{ ${Object.entries(schema.properties).map(([name, property]) => html`${name}: ${typeOf(property)}; `)}}`
  if (typeof schema.additionalProperties === 'object')
    return html`map of ${typeOf(schema.additionalProperties)}`
  const limits = LIMITS.filter((limit) => schema[limit] !== undefined).map(
    (limit) => `${limit} ${JSON.stringify(schema[limit])}`,
  )
  return html`${[schema.type].flat().join(' | ')}${schema.format ? ` (${schema.format})` : ''}
<span class="quiet">${limits.join(', ')}</span>`
}
