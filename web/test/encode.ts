// Frames for tests, with records in the raw form that lib/telemetry/doc.go describes.

export interface Reading {
  device: string
  metric: string
  /** µs since 1970 */
  time: number
  value: number
  quality?: number
}

function varint(value: bigint): number[] {
  const out: number[] = []
  for (let v = BigInt.asUintN(64, value); ; v >>= 7n) {
    if (v < 0x80n) return [...out, Number(v)]
    out.push(Number(v & 0x7fn) | 0x80)
  }
}

const zigzag = (v: bigint) => (v << 1n) ^ (v >> 63n)
const field = (number: number, bytes: Iterable<number>) => {
  const content = [...bytes]
  return [...varint(BigInt(number << 3 | 2)), ...varint(BigInt(content.length)), ...content]
}

export function encodeRecord(readings: Reading[]): Uint8Array<ArrayBuffer> {
  const devices = [...new Set(readings.map((r) => r.device))]
  const metrics = [...new Set(readings.map((r) => r.metric))]
  const series = [...new Set(readings.map((r) => `${devices.indexOf(r.device)} ${metrics.indexOf(r.metric)}`))]
  const differences = (column: bigint[]) => column.flatMap((v, i) => varint(zigzag(v - (i === 0 ? 0n : column[i - 1]!))))
  const text = new TextEncoder()
  return new Uint8Array([
    1, 0,
    ...devices.flatMap((name) => field(5, text.encode(name))),
    ...metrics.flatMap((name) => field(6, text.encode(name))),
    ...field(7, series.flatMap((s) => varint(BigInt(s.split(' ')[0]!)))),
    ...field(8, series.flatMap((s) => varint(BigInt(s.split(' ')[1]!)))),
    ...field(9, differences(readings.map((r) => BigInt(series.indexOf(`${devices.indexOf(r.device)} ${metrics.indexOf(r.metric)}`))))),
    ...field(11, differences(readings.map((r) => BigInt(r.time)))),
    ...field(13, readings.map((r) => r.quality ?? 0)),
    ...field(15, new Uint8Array(Float64Array.from(readings, (r) => r.value).buffer)),
  ])
}

/** A live frame; ages are those of all its events. */
export function liveFrame(seq: number, sent: number, age: number, readings: Reading[]): ArrayBuffer {
  const record = encodeRecord(readings)
  const frame = new Uint8Array(20 + 4 * readings.length + record.length)
  const view = new DataView(frame.buffer)
  view.setUint8(0, 1)
  view.setUint32(4, seq, true)
  view.setBigInt64(8, BigInt(sent), true)
  view.setUint32(16, readings.length, true)
  for (let i = 0; i < readings.length; i++) view.setUint32(20 + 4 * i, age, true)
  frame.set(record, 20 + 4 * readings.length)
  return frame.buffer
}

export function heartbeat(seq: number, sent: number): ArrayBuffer {
  const view = new DataView(new ArrayBuffer(16))
  view.setUint8(0, 4)
  view.setUint32(4, seq, true)
  view.setBigInt64(8, BigInt(sent), true)
  return view.buffer
}
