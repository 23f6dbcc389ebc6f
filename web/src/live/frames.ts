import { LiveError } from './error.ts'

/** The first byte of a frame. docs/LIVE.md has the layouts; all numbers are little endian. */
export const frameKind = { live: 1, clockRequest: 2, clockResponse: 3, heartbeat: 4, history: 16 } as const

/**
 * The data channels, as lib/rtc has them. The reliable ones are negotiated; live is opened by the viewer, whose message
 * tells the gateway's side that it is unreliable: pion takes a negotiated channel for a reliable one.
 */
export const channels = {
  control: { label: 'control', init: { negotiated: true, id: 0, ordered: true } },
  live: { label: 'live', init: { ordered: false, maxRetransmits: 0 } },
  history: { label: 'history', init: { negotiated: true, id: 2, ordered: true } },
} as const satisfies Record<string, { label: string; init: RTCDataChannelInit }>

const maxFrameBytes = 256 << 10
const maxHistoryBytes = 64 << 10
const liveHeaderBytes = 20
const maxEvents = 10_000

/** Times are microseconds since 1970 of the sender's clock, exact as numbers until the year 2255. */
export interface LiveFrame {
  kind: 'live'
  /** Counts the live frames of this viewer from 1, so a gap is a lost frame. Wraps at 2^32. */
  seq: number
  sent: number
  /** For each event of the record, in its order: sent minus when the gateway's program read it, in µs. */
  ages: Uint32Array
  record: Uint8Array
}

export interface ClockResponse {
  kind: 'clock response'
  id: number
  t0: number
  t1: number
  t2: number
}

export interface ClockRequest {
  kind: 'clock request'
  id: number
  t0: number
}

export interface Heartbeat {
  kind: 'heartbeat'
  seq: number
  sent: number
}

export interface HistoryFrame {
  kind: 'history'
  request: number
  last: boolean
  record: Uint8Array
}

export type Frame = LiveFrame | ClockRequest | ClockResponse | Heartbeat | HistoryFrame

/**
 * Decodes a frame, of which the result is a view. undefined: a kind of a later version, which is skipped. Throws a
 * LiveError of code `frame`. The record in it is decoded by RecordDecoder, which also checks the number of its events.
 */
export function decodeFrame(frame: Uint8Array): Frame | undefined {
  if (frame.length === 0) throw invalid('empty')
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length)
  switch (frame[0]) {
    case frameKind.live:
      return live(frame, view)
    case frameKind.clockRequest:
      size(frame, 16, 16)
      return { kind: 'clock request', id: view.getUint32(4, true), t0: time(view, 8) }
    case frameKind.clockResponse:
      size(frame, 32, 32)
      return { kind: 'clock response', id: view.getUint32(4, true), t0: time(view, 8), t1: time(view, 16), t2: time(view, 24) }
    case frameKind.heartbeat:
      size(frame, 16, 16)
      return { kind: 'heartbeat', seq: view.getUint32(4, true), sent: time(view, 8) }
    case frameKind.history:
      return history(frame, view)
    default:
      return undefined
  }
}

function live(frame: Uint8Array, view: DataView): LiveFrame {
  size(frame, liveHeaderBytes, maxFrameBytes)
  if (frame[1] !== 0) throw invalid(`live: unknown flags 0x${frame[1]!.toString(16).padStart(2, '0')}`)
  const n = view.getUint32(16, true)
  if (n === 0 || n > maxEvents) throw invalid(`live: ${n} events, want 1 to ${maxEvents}`)
  const left = frame.length - liveHeaderBytes
  if (left < 4 * n) throw invalid(`live: ${left} bytes after the header, want at least ${4 * n} for the ages of ${n} events`)
  const end = liveHeaderBytes + 4 * n
  const record = frame.subarray(end)
  checkRecord('live', record)
  return { kind: 'live', seq: view.getUint32(4, true), sent: time(view, 8), ages: words(frame, liveHeaderBytes, n), record }
}

function history(frame: Uint8Array, view: DataView): HistoryFrame {
  size(frame, 8, maxHistoryBytes)
  const flags = frame[1]!
  if ((flags & ~1) !== 0) throw invalid(`history: unknown flags 0x${(flags & ~1).toString(16).padStart(2, '0')}`)
  const record = frame.subarray(8)
  checkRecord('history', record)
  return { kind: 'history', request: view.getUint32(4, true), last: (flags & 1) === 1, record }
}

/** Encodes a clock request of 16 bytes, or the same with the two times of the response in 32. */
export function encodeClock(id: number, t0: number, response?: { t1: number; t2: number }): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(response === undefined ? 16 : 32)
  const view = new DataView(frame.buffer)
  view.setUint8(0, response === undefined ? frameKind.clockRequest : frameKind.clockResponse)
  view.setUint32(4, id, true)
  setTime(view, 8, t0)
  if (response !== undefined) {
    setTime(view, 16, response.t1)
    setTime(view, 24, response.t2)
  }
  return frame
}

// Without bigints, which would be allocated. Exact within ±2^53.
function time(view: DataView, at: number): number {
  return view.getInt32(at + 4, true) * 2 ** 32 + view.getUint32(at, true)
}

function setTime(view: DataView, at: number, micros: number): void {
  const whole = Math.round(micros)
  const high = Math.floor(whole / 2 ** 32)
  view.setUint32(at, whole - high * 2 ** 32, true)
  view.setInt32(at + 4, high, true)
}

/** n numbers of 32 bits at an offset; a view where the memory is aligned. */
function words(frame: Uint8Array, at: number, n: number): Uint32Array {
  const from = frame.byteOffset + at
  if (from % 4 === 0) return new Uint32Array(frame.buffer, from, n)
  return new Uint32Array(frame.slice(at, at + 4 * n).buffer)
}

function size(frame: Uint8Array, min: number, max: number): void {
  if (frame.length < min || frame.length > max) throw invalid(`kind ${frame[0]!}: ${frame.length} bytes, want ${min} to ${max}`)
}

function checkRecord(what: string, record: Uint8Array): void {
  if (record.length < 2) throw invalid(`${what}: record of ${record.length} bytes, want at least 2`)
  if (record[0] !== 1) throw invalid(`${what}: record of version ${record[0]!}, want 1`)
  if ((record[1]! & 1) !== 0) throw invalid(`${what}: the record is compressed (flag 0x01), want it plain`)
}

function invalid(reason: string): LiveError {
  return new LiveError('frame', `frame: ${reason}`)
}
