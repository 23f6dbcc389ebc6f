/**
 * The kind of an error:
 * - `load`: the module or its worker did not start, or failed
 * - `abi`: the module is not of the version for which this code was written
 * - `full`: all slots are in use; forget a series first
 * - `unknown`: the series does not exist
 * - `arguments`: an argument has the wrong shape
 * - `state`: a saved state was rejected, and nothing changed
 */
export type DetectorErrorCode = 'load' | 'abi' | 'full' | 'unknown' | 'arguments' | 'state'

export class DetectorError extends Error {
  override readonly name = 'DetectorError'
  readonly code: DetectorErrorCode

  constructor(code: DetectorErrorCode, message: string) {
    super(message)
    this.code = code
  }
}
