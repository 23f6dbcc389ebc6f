/**
 * The time code in the test pattern's picture (docs/LIVE.md): 4 rows of 20 cells, each 16 × 16 pixels of a coded width of
 * 640, from the top left corner; white is 1; most significant bit first: 48 bits of time in 100 µs since 1970 by the
 * gateway's clock, 16 bits of the frame's number, 16 bits of CRC-16/CCITT-FALSE over the eight bytes before.
 */
export const timeCode = { rows: 4, columns: 20, cell: 16 } as const

export interface TimeCode {
  /** When the picture was made, in µs since 1970 by the gateway's clock. */
  captured: number
  frame: number
}

/**
 * Reads the code from a picture: brightness (0 to 255) of pixel (x, y) at offset + y·stride + x·step. scale is the
 * picture's width divided by the coded one. undefined if there is none, or it is damaged.
 */
export function readTimeCode(pixels: Uint8Array | Uint8ClampedArray, stride: number, step = 1, offset = 0, scale = 1): TimeCode | undefined {
  const bytes = new Uint8Array(10)
  const size = timeCode.cell * scale
  for (let i = 0; i < timeCode.rows * timeCode.columns; i++) {
    const left = (i % timeCode.columns) * size
    const top = Math.floor(i / timeCode.columns) * size
    // The inner half: the edges are blurred by the codec.
    let sum = 0
    let n = 0
    for (let y = Math.ceil(top + size / 4); y < top + (3 * size) / 4; y++) {
      for (let x = Math.ceil(left + size / 4); x < left + (3 * size) / 4; x++, n++) sum += pixels[offset + y * stride + x * step] ?? 0
    }
    if (n === 0) return undefined
    if (sum / n >= 128) bytes[i >> 3]! |= 0x80 >> (i & 7)
  }
  const view = new DataView(bytes.buffer)
  if (crc16(bytes.subarray(0, 8)) !== view.getUint16(8)) return undefined
  const units = view.getUint16(0) * 2 ** 32 + view.getUint32(2)
  return units === 0 ? undefined : { captured: units * 100, frame: view.getUint16(6) }
}

/** CRC-16/CCITT-FALSE: polynomial 0x1021, initial value 0xFFFF, neither reflected nor inverted. */
export function crc16(bytes: Uint8Array): number {
  let crc = 0xffff
  for (const byte of bytes) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1) & 0xffff
  }
  return crc
}
