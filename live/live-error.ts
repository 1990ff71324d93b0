/** Why the stream could not be started. */
export type LiveErrorCode =
  | 'uws-not-loadable'
  | 'port-in-use'
  | 'address-unavailable'
  | 'database-unreachable'
  | 'wrong-options'

/** The stream can not be started; the message says what is wrong and what to do. */
export class LiveError extends Error {
  override readonly name = 'LiveError'
  readonly code: LiveErrorCode

  constructor(code: LiveErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
