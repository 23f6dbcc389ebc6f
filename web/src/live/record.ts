import { crc32c } from './checksum.ts'
import { Columns } from './columns.ts'
import { LiveError } from './error.ts'
import { field, fieldNames, invalid, Layout, payload, wrongType } from './fields.ts'
import { mustText, NameTable } from './names.ts'
import { VarintReader } from './varint.ts'

/** Bounds of what a decoder accepts, and so of its memory. */
export interface Limits {
  /** Of a record, and of its message. */
  recordBytes: number
  /** Of a record. */
  events: number
  /** Of each dictionary. */
  names: number
}

/** As Go's telemetry.DefaultLimits. */
export const defaultLimits: Limits = { recordBytes: 1 << 20, events: 10_000, names: 10_000 }

/** The qualities of an event. */
export const quality = { good: 0, uncertain: 1, bad: 2 } as const

/**
 * A decoded record. Event i is of device devices[seriesDevice[series[i]]] and of metric metrics[seriesMetric[series[i]]].
 * The arrays are memory of the decoder and valid until its next call; the strings stay valid.
 */
export interface RecordEvents {
  gateway: string
  site: string
  trace: string
  /** Microseconds since 1970, or 0. */
  received: bigint
  devices: readonly string[]
  metrics: readonly string[]
  seriesDevice: Uint32Array
  seriesMetric: Uint32Array
  /** The number of events; the columns below have this length. */
  length: number
  series: Uint32Array
  /** Microseconds since 1970, of the source's clock. */
  times: BigInt64Array<ArrayBuffer>
  values: Float64Array<ArrayBuffer>
  /** 0 good, 1 uncertain, 2 bad. */
  qualities: Uint8Array
  /** The event's place in the record: not its place here once events were left out. */
  places: Uint32Array
  /** The events that were left out, as the name of their device or metric is not valid. */
  rejected: number
}

const version = 1
const flagZstd = 1
const flagChecksum = 2
const maxTraceBytes = 512
const maxGroups = 10_001

/**
 * Decodes records as lib/telemetry of Go does (its doc.go is the format), without compression: it accepts and rejects the
 * same ones. Reuse it: it has memory for the largest record so far and remembers names.
 */
export class RecordDecoder {
  readonly #limits: Limits
  readonly #names = new NameTable()
  readonly #walker = new VarintReader()
  readonly #columns = new Columns()
  #devices: string[] = []
  #metrics: string[] = []
  /** Why entries of the dictionaries are no names, by their index; the first one of all. */
  #badDevices = new Map<number, string>()
  #badMetrics = new Map<number, string>()
  #firstBad = ''
  #gateway = ''
  #site = ''
  #trace = ''
  #received = 0n

  constructor(limits: Limits = defaultLimits) {
    this.#limits = limits
  }

  /** Throws a LiveError of code `record`, or `compressed`, which says what is wrong and where. */
  decode(record: Uint8Array): RecordEvents {
    const message = open(record, this.#limits.recordBytes)
    this.#names.begin()
    this.#devices = []
    this.#metrics = []
    this.#badDevices.clear()
    this.#badMetrics.clear()
    this.#firstBad = ''
    this.#gateway = this.#site = this.#trace = ''
    this.#received = 0n
    const layout = new Layout()
    this.#walk(message, layout)
    const columns = this.#columns
    try {
      columns.fill(layout, this.#devices.length, this.#metrics.length, this.#limits.events)
    } catch (cause) {
      if (this.#firstBad !== '') throw invalid(this.#firstBad)
      throw cause
    }
    const read = columns.length
    if (this.#firstBad !== '') {
      columns.leaveOut(this.#badDevices, this.#badMetrics)
      if (columns.length === 0) throw invalid(this.#firstBad)
    }
    return {
      gateway: this.#gateway, site: this.#site, trace: this.#trace, received: this.#received,
      devices: this.#devices, metrics: this.#metrics,
      ...columns.views(), rejected: read - columns.length,
    }
  }

  #walk(message: Uint8Array, layout: Layout): void {
    const walker = this.#walker
    walker.reset(message)
    while (walker.at < message.length) {
      const start = walker.at
      const number = tag(walker)
      if (number < 0) throw invalid(`byte ${start}: tag`)
      const wire = walker.low & 7
      const from = walker.at
      if (!skip(walker, number, wire)) throw invalid(`byte ${start}: field ${number}: truncated or malformed`)
      if (number < fieldNames.length) this.#field(number, wire, message.subarray(from, walker.at), layout)
    }
  }

  /** value is the field's whole encoding after the tag. */
  #field(number: number, wire: number, value: Uint8Array, layout: Layout): void {
    if (number === field.received) {
      if (wire !== 0) throw wrongType(number, wire)
      const reader = new VarintReader()
      reader.reset(value)
      reader.next()
      this.#received = BigInt.asIntN(64, (BigInt(reader.high) << 32n) | BigInt(reader.low))
      return
    }
    if (number > field.metrics) {
      layout.add(number, wire, value)
      return
    }
    if (wire !== 2) throw wrongType(number, wire)
    this.#text(number, payload(value))
  }

  #text(number: number, bytes: Uint8Array): void {
    if (number === field.trace) {
      this.#trace = mustText('trace', bytes, maxTraceBytes)
      return
    }
    if (number <= field.site && bytes.length === 0) {
      this.#setSource(number, '')
      return
    }
    const name = this.#names.intern(bytes)
    if (number <= field.site) {
      if (typeof name === 'string') throw invalid(`${fieldNames[number]!}: name: ${name}`)
      this.#setSource(number, name.text)
      return
    }
    const isDevice = number === field.devices
    const dictionary = isDevice ? this.#devices : this.#metrics
    const index = dictionary.length
    if (typeof name === 'string') {
      const reason = `${fieldNames[number]!}: name: ${name}`
      if (this.#firstBad === '') this.#firstBad = reason
      ;(isDevice ? this.#badDevices : this.#badMetrics).set(index, reason)
    } else {
      if (index < this.#limits.names && (isDevice ? name.device : name.metric) === this.#names.record) {
        throw invalid(`${fieldNames[number]!}: entry ${index} repeats an earlier one`)
      }
      if (isDevice) name.device = this.#names.record
      else name.metric = this.#names.record
    }
    if (index === this.#limits.names) throw invalid(`${fieldNames[number]!}: want at most ${this.#limits.names}`)
    dictionary.push(typeof name === 'string' ? '' : name.text)
  }

  #setSource(number: number, text: string): void {
    if (number === field.gateway) this.#gateway = text
    else this.#site = text
  }
}

/** Checks the header and the checksum, and returns the message. */
function open(record: Uint8Array, maxBytes: number): Uint8Array {
  if (record.length > maxBytes) throw invalid(`want at most ${maxBytes} bytes, have ${record.length}`)
  if (record.length < 2) throw invalid(`want a version and a flags byte, have ${record.length} bytes`)
  const flags = record[1]!
  if (record[0] !== version) throw invalid(`version: want ${version}, have ${record[0]!}`)
  if ((flags & ~(flagZstd | flagChecksum)) !== 0) {
    throw invalid(`flags: unknown bits ${hex(flags & ~(flagZstd | flagChecksum), 2)} in ${hex(flags, 2)}`)
  }
  const message = checked(record, flags)
  if ((flags & flagZstd) !== 0) {
    throw new LiveError('compressed', 'record: compressed with zstd, which records on data channels are not')
  }
  return message
}

function checked(record: Uint8Array, flags: number): Uint8Array {
  const end = record.length - 4
  const stored = () => new DataView(record.buffer, record.byteOffset).getUint32(end, true)
  if ((flags & flagChecksum) === 0) {
    if (end >= 2 && stored() === crc32c(record.subarray(2, end), crc32c(Uint8Array.of(version, flags | flagChecksum)))) {
      throw invalid(`checksum: flag ${hex(flagChecksum, 2)} is missing in ${hex(flags, 2)}: the record was damaged`)
    }
    return record.subarray(2)
  }
  if (end < 2) throw invalid(`checksum: want 4 bytes, have ${record.length - 2}`)
  const want = stored()
  const have = crc32c(record.subarray(0, end))
  if (have !== want) throw invalid(`checksum: want ${hex(want, 8)}, have ${hex(have, 8)} of ${end} bytes: the record was damaged`)
  return record.subarray(2, end)
}

const hex = (n: number, digits: number) => `0x${n.toString(16).padStart(digits, '0')}`

/** Reads a tag: the field's number, or -1. The wire type is in the low bits of the reader. */
function tag(reader: VarintReader): number {
  if (!reader.next()) return -1
  const number = reader.high * 2 ** 29 + (reader.low >>> 3)
  return number >= 1 && number <= 0x7fff_ffff ? number : -1
}

/** Skips a field's value; false if it is malformed. */
function skip(reader: VarintReader, number: number, wire: number): boolean {
  const groups: number[] = []
  for (;;) {
    switch (wire) {
      case 0:
        if (!reader.next()) return false
        break
      case 1:
        reader.at += 8
        break
      case 2:
        if (!reader.next() || reader.number > reader.end - reader.at) return false
        reader.at += reader.low
        break
      case 3:
        if (groups.push(number) > maxGroups) return false
        break
      case 4:
        if (groups.pop() !== number) return false
        break
      case 5:
        reader.at += 4
        break
      default:
        return false
    }
    if (reader.at > reader.end) return false
    if (groups.length === 0) return true
    number = tag(reader)
    if (number < 0) return false
    wire = reader.low & 7
  }
}
