/** Import of geofences from files of other programs. */
import { OpenAPIHono } from '@hono/zod-openapi'
import type pg from 'pg'
import { z } from 'zod'
import { IMPORT_BYTES_MAX, IMPORT_FEATURES_MAX } from '../geofence/shapes/import.ts'
import { GeofenceRule, RULES_MAX, TimeZone } from '../schemas/geofence.ts'
import {
  boxHas,
  centreOf,
  countGeofences,
  countOverlaps,
  type GeofenceTerms,
  insertGeofences,
  type NewGeofence,
} from '../storage/geofences/geofences.ts'
import { organizationFor } from './access.ts'
import { checkGroups, geofenceOverlaps, lockGeofences, tooManyGeofences } from './geofence-checks.ts'
import type { ReadFeature } from './geofence-import-thread.ts'
import { ImportReader } from './import-reader.ts'
import type { ApiOptions, GeofenceOptions } from './options.ts'
import { IdText } from './page.ts'
import { ApiError, FeatureResult } from './problem.ts'
import { BooleanText, numberText } from './query.ts'
import { type ApiEnv, asCaller, callerOf, content, route, textBody } from './route.ts'

/** Geofences of one statement, and characters of their shapes: the process has other things to do in between. */
const PIECE_GEOFENCES = 500
const PIECE_LENGTH = 1024 * 1024

const RULES_LENGTH_MAX = 8192

const RulesText = z
  .string()
  .max(RULES_LENGTH_MAX)
  .transform((text, context): unknown => {
    try {
      return JSON.parse(text)
    } catch {
      context.addIssue({ code: 'custom', message: 'must be JSON, such as [{"dwellS":300}]' })
      return z.NEVER
    }
  })
  .pipe(z.array(GeofenceRule).min(1).max(RULES_MAX))
  .meta({ type: 'string', maxLength: RULES_LENGTH_MAX, example: '[{"dwellS":300}]' })

const ImportResult = z
  .object({
    created: z.int().describe('geofences that were made'),
    features: z.array(FeatureResult).describe('in the order of the text'),
  })
  .meta({ id: 'ImportResult' })

const importRoute = route(
  {
    method: 'post',
    path: '/geofences/import',
    operationId: 'importGeofences',
    tags: ['Geofences'],
    summary: 'Import geofences',
    description:
      `The body is the text of the file, UTF-8, at most ${IMPORT_BYTES_MAX} bytes and ${IMPORT_FEATURES_MAX} features; each ` +
      'becomes a geofence. Where one of them is refused nothing is imported, and the problem (422 `import-refused`) tells of ' +
      'each feature why; with `partial=true` the others are imported, unless none is left. All geofences get the same rules ' +
      'and time zone.',
    request: {
      query: z.object({
        format: z.enum(['geojson', 'kml', 'wkt']),
        partial: BooleanText.default(false).describe('whether to leave out what is refused'),
        organizationId: IdText.optional().describe('required from a super admin; else their own'),
        timeZone: TimeZone.default('UTC').describe('of all times of day in the rules'),
        rules: RulesText.optional().describe(
          'JSON, as `rules` of a geofence; enter and exit for all devices if left out',
        ),
        radiusM: numberText(0.001, 1_000_000)
          .optional()
          .describe('of circles that points become which do not say it as `radiusM`'),
        halfWidthM: numberText(0.001, 50_000)
          .optional()
          .describe('of corridors that lines become which do not say it as `halfWidthM`'),
      }),
      body: textBody('the text of the file'),
    },
    responses: { 201: { description: 'what became of each feature', content: content(ImportResult) } },
  },
  IMPORT_BYTES_MAX,
)

/** Route `/geofences/import`. */
export function geofenceImport({ pool, geofences: options }: ApiOptions): OpenAPIHono<ApiEnv> {
  const reader = new ImportReader()
  return new OpenAPIHono<ApiEnv>().openapi(importRoute, async (c) => {
    const query = c.req.valid('query')
    const { format, partial, timeZone } = query
    const organizationId = organizationFor(callerOf(c), query.organizationId, 'query')
    const defaults = {
      ...(query.radiusM !== undefined && { radiusM: query.radiusM }),
      ...(query.halfWidthM !== undefined && { halfWidthM: query.halfWidthM }),
    }
    const file = await reader.read(async () => ({ format, text: await c.req.text(), defaults }))
    if ('error' in file) {
      throw new ApiError(422, 'import-refused', `${file.error.code}: ${file.error.detail}`)
    }
    if (!partial) refuseFaults(file.features.map(resultOf))
    const rules = query.rules ?? [GeofenceRule.parse({})]
    const terms = { organizationId, timeZone, rules, disabled: false }
    const features = await asCaller(c, pool, async (client) => {
      await checkGroups(client, organizationId, rules, 'query')
      const results = await new Insertion(client, options, terms).insert(file.features)
      // Thrown within the transaction: nothing of it stays.
      if (!partial || results.every(({ id }) => id === null)) refuseFaults(results)
      return results
    })
    return c.json({ created: features.filter(({ id }) => id !== null).length, features }, 201)
  })
}

/** @throws ApiError 422 if a feature is refused. */
function refuseFaults(features: FeatureResult[]): void {
  const faults = features.filter(({ error }) => error !== null)
  if (faults.length === 0) return
  const [{ name, error }] = faults as [FeatureResult]
  throw new ApiError(
    422,
    'import-refused',
    `Nothing was imported: ${faults.length} of ${features.length} features are refused, the first "${name}" ` +
      `(${error!.code}: ${error!.detail}). Mend them, or leave them out by partial=true.`,
    { members: { features: features.map((feature) => ({ ...feature, id: null })) } },
  )
}

const resultOf = (feature: ReadFeature): FeatureResult => ({
  name: feature.name,
  id: null,
  error: 'error' in feature ? feature.error : null,
})

/** Inserts geofences of a file, piece by piece, in one transaction. */
class Insertion {
  private readonly client: pg.PoolClient
  private readonly options: GeofenceOptions
  private readonly terms: GeofenceTerms
  /** Geofences that the organisation has room for. */
  private room = 0

  constructor(client: pg.PoolClient, options: GeofenceOptions, terms: GeofenceTerms) {
    this.client = client
    this.options = options
    this.terms = terms
  }

  async insert(features: readonly ReadFeature[]): Promise<FeatureResult[]> {
    const { client, options, terms } = this
    const { organizationId } = terms
    await lockGeofences(client, organizationId)
    const { perOrganizationMax } = options
    this.room = perOrganizationMax - (await countGeofences(client, organizationId, perOrganizationMax))
    const results: FeatureResult[] = []
    for (const piece of piecesOf(features)) results.push(...(await this.insertPiece(piece)))
    return results
  }

  private async insertPiece(piece: readonly ReadFeature[]): Promise<FeatureResult[]> {
    const { client, options, terms } = this
    const geofences = piece.flatMap((feature) => ('error' in feature ? [] : [feature]))
    const centres = geofences.map(({ bounds }) => centreOf(bounds))
    const stored = await countOverlaps(client, terms.organizationId, centres, options.overlapsMax)
    const taken: NewGeofence[] = []
    const refused = new Map<ReadFeature, ApiError>()
    geofences.forEach((geofence, i) => {
      const within = taken.filter(({ bounds }) => boxHas(bounds, centres[i]!)).length
      if (taken.length >= this.room) refused.set(geofence, tooManyGeofences(options.perOrganizationMax))
      else if (stored[i]! + within >= options.overlapsMax) {
        refused.set(geofence, geofenceOverlaps(options.overlapsMax))
      } else taken.push(geofence)
    })
    for (const { code } of refused.values()) {
      options.onLimit(code === 'geofence-overlaps' ? 'geofenceOverlapsMax' : 'geofencesPerOrganizationMax')
    }
    this.room -= taken.length
    const ids = await insertGeofences(client, terms, taken)
    const idOf = new Map<ReadFeature, number>(taken.map((geofence, i) => [geofence, ids[i]!]))
    return piece.map((feature) => {
      const error = refused.get(feature)
      if (error) return { name: feature.name, id: null, error: { code: error.code, detail: error.message } }
      return { ...resultOf(feature), id: idOf.get(feature) ?? null }
    })
  }
}

function* piecesOf(features: readonly ReadFeature[]): Iterable<ReadFeature[]> {
  let piece: ReadFeature[] = []
  let length = 0
  for (const feature of features) {
    const more = 'shape' in feature ? feature.shape.length : 0
    if (piece.length > 0 && (piece.length === PIECE_GEOFENCES || length + more > PIECE_LENGTH)) {
      yield piece
      piece = []
      length = 0
    }
    piece.push(feature)
    length += more
  }
  if (piece.length > 0) yield piece
}
