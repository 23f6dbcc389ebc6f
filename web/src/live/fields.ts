import { LiveError } from './error.ts'

/** The fields of message Batch in lib/telemetry/record.proto. */
export const fieldNames = [
  'unknown', 'gateway', 'site', 'trace', 'received', 'devices', 'metrics', 'series_device', 'series_metric', 'series',
  'series_runs', 'times', 'time_runs', 'qualities', 'quality_runs', 'values', 'scales', 'decimals',
] as const

export const field = {
  gateway: 1, site: 2, trace: 3, received: 4, devices: 5, metrics: 6, seriesDevice: 7, seriesMetric: 8, series: 9,
  times: 11, qualities: 13, values: 15, scales: 16, decimals: 17,
} as const

export function invalid(reason: string): LiveError {
  return new LiveError('record', `record: ${reason}`)
}

export function wrongType(number: number, wire: number): LiveError {
  return invalid(`${fieldNames[number]!}: unexpected wire type ${wire}`)
}

/** What a field of wire type 2 has, without its length. */
export function payload(value: Uint8Array): Uint8Array {
  let at = 0
  while (value[at]! >= 0x80) at++
  return value.subarray(at + 1)
}

const none = new Uint8Array(0)

/** The bytes of each column of one record. */
export class Layout {
  readonly #bytes = new Array<Uint8Array | undefined>(fieldNames.length)
  /** Memory of columns that come in several pieces, which grows by doubling. */
  readonly #joined = new Array<Uint8Array | undefined>(fieldNames.length)

  of(number: number): Uint8Array {
    return this.#bytes[number] ?? none
  }

  /** Adds a field's value, packed or one entry, to its column. */
  add(number: number, wire: number, value: Uint8Array): void {
    let bytes = value
    if (wire === 2) {
      bytes = payload(value)
      if (number === field.values && bytes.length % 8 !== 0) {
        throw invalid(`values: ${bytes.length} bytes are not a whole number of doubles`)
      }
      if (number !== field.values && bytes.length > 0 && bytes[bytes.length - 1]! >= 0x80) {
        throw invalid(`${fieldNames[number]!}: ends inside a varint`)
      }
    } else if (wire !== (number === field.values ? 1 : 0)) {
      throw wrongType(number, wire)
    }
    const before = this.#bytes[number]
    this.#bytes[number] = before === undefined ? bytes : this.#join(number, before, bytes)
  }

  #join(number: number, before: Uint8Array, bytes: Uint8Array): Uint8Array {
    const length = before.length + bytes.length
    let memory = this.#joined[number]
    if (memory === undefined || memory.length < length) {
      memory = new Uint8Array(2 * length)
      memory.set(before)
      this.#joined[number] = memory
    }
    memory.set(bytes, before.length)
    return memory.subarray(0, length)
  }
}
