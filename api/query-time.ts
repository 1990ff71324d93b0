/** Queries that may look through more than can be looked through: they fail with what to do, instead of as a database that is away. */
import type pg from 'pg'
import { ApiError } from './problem.ts'

/** SQLSTATE of a statement that took too long. */
const QUERY_CANCELED = '57014'

/**
 * Runs `run`, each of whose statements may take this long, ms; so may those after it in the transaction.
 * @param detail What was asked for, and what to ask for instead.
 * @throws ApiError 422 if one takes longer.
 */
export async function withinTime<T>(
  client: pg.ClientBase,
  statementMs: number,
  detail: string,
  run: () => Promise<T>,
): Promise<T> {
  try {
    await client.query(`SET LOCAL statement_timeout = ${statementMs}`)
    return await run()
  } catch (error) {
    throw (error as pg.DatabaseError).code === QUERY_CANCELED ? queryTooLarge(detail) : error
  }
}

export function queryTooLarge(detail: string): ApiError {
  return new ApiError(422, 'query-too-large', detail)
}
