import type { ErrorCode } from './protocol.ts'

/** Codes of failures that the browser's side finds itself, besides those of the protocol. */
export type LocalCode = 'closed' | 'timeout' | 'invalid_reply' | 'token_unavailable'

/** A failure of signaling; code is the protocol's or a local one. */
export class SignalingError extends Error {
  readonly code: ErrorCode | LocalCode

  constructor(code: ErrorCode | LocalCode, message: string) {
    super(message)
    this.name = 'SignalingError'
    this.code = code
  }
}
