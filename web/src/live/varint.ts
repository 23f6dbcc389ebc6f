/**
 * Reads varints of up to 64 bits (protobuf's encoding) without bigints: the value is in two halves, low and high, each an
 * unsigned integer of 32 bits.
 */
export class VarintReader {
  bytes: Uint8Array = new Uint8Array(0)
  at = 0
  end = 0
  low = 0
  high = 0

  /** Continues with bytes. */
  reset(bytes: Uint8Array): void {
    this.bytes = bytes
    this.at = 0
    this.end = bytes.length
  }

  /** Reads the next varint; false, and nothing is consumed, if the bytes end inside it or it exceeds 64 bits. */
  next(): boolean {
    const { bytes, end } = this
    let at = this.at
    let low = 0
    let high = 0
    for (let shift = 0; at < end; shift += 7) {
      const byte = bytes[at++]!
      const bits = byte & 0x7f
      if (shift < 28) {
        low |= bits << shift
      } else if (shift === 28) {
        low |= bits << 28
        high = bits >>> 4
      } else {
        if (shift === 63 && byte > 1) return false
        high |= bits << (shift - 32)
      }
      if (byte < 0x80) {
        this.at = at
        this.low = low >>> 0
        this.high = high >>> 0
        return true
      }
      if (shift === 63) return false
    }
    return false
  }

  /** The value as a number: exact below 2^53. */
  get number(): number {
    return this.high * 2 ** 32 + this.low
  }

  /** Makes the value of a zigzag code: the halves are then those of a signed integer, in two's complement. */
  unzigzag(): void {
    const sign = -(this.low & 1)
    const low = ((this.low >>> 1) | (this.high << 31)) ^ sign
    this.high = ((this.high >>> 1) ^ sign) >>> 0
    this.low = low >>> 0
  }
}

/** The number of varints that end in bytes. */
export function countVarints(bytes: Uint8Array): number {
  let n = 0
  for (let i = 0; i < bytes.length; i++) n += bytes[i]! < 0x80 ? 1 : 0
  return n
}

/** The two halves of a signed integer of 64 bits, for error texts. */
export function signed(low: number, high: number): bigint {
  return BigInt.asIntN(64, (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0))
}
