/**
 * What went wrong:
 * - `load`: the module or its worker did not start, or died
 * - `abi`: the module is another one than this code was written for
 * - `full`: all slots are taken; forget a series first
 * - `unknown`: there is no such series
 * - `arguments`: what was passed has the wrong shape
 * - `state`: a saved state was refused, and nothing changed
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
