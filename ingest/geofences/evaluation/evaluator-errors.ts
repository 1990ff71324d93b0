/** What errors say of an evaluation that was to be stored. */
import pg from 'pg'

/** Classes of SQLSTATE for which the connection, the server or other transactions are at fault, and no evaluation. */
const NOT_OF_EVALUATION = /^(?:08|40|53|55|57|58)/
/** Classes for which nobody knows whether what was sent is committed. */
const OUTCOME_UNKNOWN = /^(?:08|57|58|XX)/

/** Whether the same would fail again. */
export function isOfEvaluation(error: Error): boolean {
  if (error instanceof pg.DatabaseError) return !NOT_OF_EVALUATION.test(error.code ?? '08')
  // All else that happens on the way to the database is of another kind.
  return error instanceof TypeError || error instanceof RangeError
}

/** Whether what was sent may be committed; always so where the server has not answered, whatever the socket says. */
export function isOutcomeUnknown(error: Error): boolean {
  return !(error instanceof pg.DatabaseError) || OUTCOME_UNKNOWN.test(error.code ?? '08')
}
