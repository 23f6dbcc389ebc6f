import { describe, expect, test } from 'vitest'
import { crc16, readTimeCode } from './timecode.ts'

/** A picture with a code, in brightness, of a width and with a scale. */
function picture(captured: number, frame: number, width: number, scale = 1, step = 1): Uint8Array {
  const bytes = new Uint8Array(10)
  const view = new DataView(bytes.buffer)
  const units = captured / 100
  view.setUint16(0, Math.floor(units / 2 ** 32))
  view.setUint32(2, units % 2 ** 32)
  view.setUint16(6, frame)
  view.setUint16(8, crc16(bytes.subarray(0, 8)))
  const pixels = new Uint8Array(width * 64 * scale * step).fill(16)
  for (let y = 0; y < 64 * scale; y++) {
    for (let x = 0; x < 320 * scale; x++) {
      const bit = Math.floor(y / 16 / scale) * 20 + Math.floor(x / 16 / scale)
      if (bytes[bit >> 3]! & (0x80 >> (bit & 7))) pixels[(y * width + x) * step] = 235
    }
  }
  return pixels
}

describe('the time code', () => {
  test('the checksum is CRC-16/CCITT-FALSE', () => {
    expect(crc16(new TextEncoder().encode('123456789'))).toBe(0x29b1)
  })

  test.each([[1, 1], [0.5, 1], [2, 1], [1, 4]])('is read at scale %d with %d bytes a pixel', (scale, step) => {
    const pixels = picture(1796068347372400, 65535, 640 * scale, scale, step)
    expect(readTimeCode(pixels, 640 * scale * step, step, 0, scale)).toEqual({ captured: 1796068347372400, frame: 65535 })
  })

  test('survives the noise of a codec', () => {
    const pixels = picture(1796068347372400, 7, 640).map((p, i) => Math.max(0, Math.min(255, p + ((i * 7919) % 81) - 40)))
    expect(readTimeCode(pixels, 640)).toEqual({ captured: 1796068347372400, frame: 7 })
  })

  test('is not seen where there is none, or where one cell is wrong', () => {
    expect(readTimeCode(new Uint8Array(640 * 64), 640)).toBeUndefined()
    expect(readTimeCode(new Uint8Array(0), 640)).toBeUndefined()
    for (let cell = 0; cell < 80; cell++) {
      const pixels = picture(1796068347372400, 7, 640)
      for (let y = 0; y < 16; y++) {
        for (let x = 0; x < 16; x++) {
          const at = (Math.floor(cell / 20) * 16 + y) * 640 + (cell % 20) * 16 + x
          pixels[at] = 251 - pixels[at]!
        }
      }
      expect(readTimeCode(pixels, 640)).toBeUndefined()
    }
  })
})
