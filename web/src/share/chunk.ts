import { ShareError } from './error.ts'

// The frames of the channel "files", little endian: u8 kind, 3 reserved bytes, u32 file, f64 offset, then for
//   1 data: bytes of the file from offset, at least one;
//   2 end:  the SHA-256 of the whole file, whose size is offset.
// Reserved bytes are zero when sent and ignored when received; frames of other kinds are skipped.

const header = 16

/** Of a file, in one frame: a frame has 32 KiB then, which every browser takes. */
export const chunkBytes = 32 * 1024 - header

/** A frame that is longer is rejected. */
const frameLimit = 64 * 1024

export type Frame = { kind: 'data'; file: number; offset: number; data: Uint8Array } | { kind: 'end'; file: number; offset: number; digest: Uint8Array }

export function encodeFrame(frame: Frame): Uint8Array<ArrayBuffer> {
  const body = frame.kind === 'data' ? frame.data : frame.digest
  const out = new Uint8Array(header + body.length)
  const view = new DataView(out.buffer)
  view.setUint8(0, frame.kind === 'data' ? 1 : 2)
  view.setUint32(4, frame.file, true)
  view.setFloat64(8, frame.offset, true)
  out.set(body, header)
  return out
}

/** The data of the frame lies in the buffer. Returns undefined for a kind of a later version. */
export function decodeFrame(buffer: unknown): Frame | undefined {
  if (!(buffer instanceof ArrayBuffer)) throw new ShareError('invalid_message', 'the frame is text')
  if (buffer.byteLength > frameLimit) throw new ShareError('message_too_big', `the frame has ${buffer.byteLength} bytes, at most ${frameLimit} are accepted`)
  if (buffer.byteLength <= header) throw new ShareError('invalid_message', `the frame has ${buffer.byteLength} bytes, want more than ${header}`)
  const view = new DataView(buffer)
  const kind = view.getUint8(0)
  if (kind !== 1 && kind !== 2) return undefined
  const file = view.getUint32(4, true)
  const offset = view.getFloat64(8, true)
  if (!Number.isSafeInteger(offset) || offset < 0) throw new ShareError('invalid_message', 'the offset of the frame is not a whole number from 0')
  const body = new Uint8Array(buffer, header)
  if (kind === 1) return { kind: 'data', file, offset, data: body }
  if (body.length !== 32) throw new ShareError('invalid_message', `the digest of the frame has ${body.length} bytes, want 32`)
  return { kind: 'end', file, offset, digest: body }
}
