/** Why something of the other side, or a transfer, was rejected. Codes travel in messages of type error and file_cancel. */
export const codes = [
  'invalid_message', 'message_too_big', 'too_many_messages', 'unknown_file', 'too_many_files', 'file_too_big', 'rejected', 'cancelled',
  'out_of_order', 'too_long', 'checksum_mismatch', 'unreadable', 'not_stored', 'stalled', 'connection_lost',
] as const

export type ShareCode = typeof codes[number]

export class ShareError extends Error {
  readonly code: ShareCode

  constructor(code: ShareCode, message: string) {
    super(message)
    this.name = 'ShareError'
    this.code = code
  }
}
