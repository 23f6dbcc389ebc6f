/**
 * The kind of an error:
 * - `frame`: a frame of a data channel is not valid
 * - `record`: a record in it is not valid
 * - `compressed`: a record is compressed, which records on data channels are not
 * - `full`: there are more series than the page scores
 * - `closed`: the viewer was closed
 * - `gateway`: the gateway responded with an error
 */
export type LiveErrorCode = 'frame' | 'record' | 'compressed' | 'full' | 'closed' | 'gateway'

export class LiveError extends Error {
  override readonly name = 'LiveError'
  readonly code: LiveErrorCode

  constructor(code: LiveErrorCode, message: string) {
    super(message)
    this.code = code
  }
}
