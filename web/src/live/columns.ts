import { field as f, fieldNames, invalid, type Layout } from './fields.ts'
import { countVarints, signed, VarintReader } from './varint.ts'

const maxExponent = 9
const powers = Float64Array.of(1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9)

/** Reads a column's entries with its optional run lengths, which are the field after it. */
class Runs {
  /** The entry. */
  readonly entry = new VarintReader()
  readonly #lengths = new VarintReader()
  #number = 0
  #left = 0
  #inRuns = false

  start(layout: Layout, number: number, events: number): void {
    this.#number = number
    this.entry.reset(layout.of(number))
    this.#lengths.reset(layout.of(number + 1))
    this.#inRuns = this.#lengths.end > 0
    this.#left = events
  }

  get empty(): boolean {
    return this.entry.end === 0 && !this.#inRuns
  }

  /** Reads the next entry and returns its number of events, at least 1. */
  next(): number {
    const { entry } = this
    const name = fieldNames[this.#number]!
    if (entry.at === entry.end) throw invalid(`${name}: ends ${this.#left} events before the values`)
    if (!entry.next()) throw invalid(`${name}: varint past 64 bits`)
    let n = 1
    if (this.#inRuns) {
      const lengths = this.#lengths
      const runs = fieldNames[this.#number + 1]!
      if (lengths.at === lengths.end) throw invalid(`${runs}: fewer entries than ${name}`)
      if (!lengths.next()) throw invalid(`${runs}: varint past 64 bits`)
      n = lengths.number
      if (n === 0 || n > this.#left) throw invalid(`${runs}: run of ${n} events, ${this.#left} are left`)
    }
    this.#left -= n
    return n
  }

  /** Checks that nothing follows the last event's entry. */
  end(): void {
    const name = fieldNames[this.#number]!
    if (this.entry.at !== this.entry.end) throw invalid(`${name}: more entries than values`)
    if (this.#lengths.at !== this.#lengths.end) throw invalid(`${fieldNames[this.#number + 1]!}: more entries than ${name}`)
  }
}

/** The decoded columns of one record, in memory that grows to the largest one. */
export class Columns {
  length = 0
  #capacity = 0
  #series = new Uint32Array(0)
  #times = new BigInt64Array(0)
  #timeHalves = new Uint32Array(0)
  #values = new Float64Array(0)
  #valueHalves = new Uint32Array(0)
  #qualities = new Uint8Array(0)
  #places = new Uint32Array(0)
  #seriesCount = 0
  #seriesDevice = new Uint32Array(0)
  #seriesMetric = new Uint32Array(0)
  /** By series: the power of ten of its metric, 0 for raw values; 1 if its decimals are differences; the last decimal. */
  #power = new Float64Array(0)
  #delta = new Uint8Array(0)
  #last = new Float64Array(0)
  readonly #runs = new Runs()
  readonly #reader = new VarintReader()

  /** Reads the columns of a record whose dictionaries have these numbers of names. */
  fill(layout: Layout, devices: number, metrics: number, maxEvents: number): void {
    const n = countVarints(layout.of(f.decimals)) + layout.of(f.values).length / 8
    if (n === 0) throw invalid('no events')
    if (n > maxEvents) throw invalid(`want at most ${maxEvents} events, have ${n}`)
    this.#fillSeries(layout, devices, metrics, maxEvents)
    this.length = n
    this.#grow(n)
    this.#readSeries(layout, n)
    this.#readTimes(layout, n)
    this.#readQualities(layout, n)
    this.#readScales(layout, metrics)
    this.#readValues(layout, n)
    for (let i = 0; i < n; i++) this.#places[i] = i
  }

  views() {
    const n = this.length
    return {
      length: n,
      series: this.#series.subarray(0, n), times: this.#times.subarray(0, n), values: this.#values.subarray(0, n),
      qualities: this.#qualities.subarray(0, n), places: this.#places.subarray(0, n),
      seriesDevice: this.#seriesDevice.subarray(0, this.#seriesCount), seriesMetric: this.#seriesMetric.subarray(0, this.#seriesCount),
    }
  }

  /** Removes the events of these devices and metrics. */
  leaveOut(devices: ReadonlyMap<number, string>, metrics: ReadonlyMap<number, string>): void {
    let n = 0
    for (let i = 0; i < this.length; i++) {
      const series = this.#series[i]!
      if (devices.has(this.#seriesDevice[series]!) || metrics.has(this.#seriesMetric[series]!)) continue
      this.#series[n] = series
      this.#timeHalves[2 * n] = this.#timeHalves[2 * i]!
      this.#timeHalves[2 * n + 1] = this.#timeHalves[2 * i + 1]!
      this.#valueHalves[2 * n] = this.#valueHalves[2 * i]!
      this.#valueHalves[2 * n + 1] = this.#valueHalves[2 * i + 1]!
      this.#qualities[n] = this.#qualities[i]!
      this.#places[n] = i
      n++
    }
    this.length = n
  }

  #grow(n: number): void {
    if (n <= this.#capacity) return
    this.#capacity = Math.max(n, 2 * this.#capacity, 64)
    const events = this.#capacity
    this.#series = new Uint32Array(events)
    this.#times = new BigInt64Array(events)
    this.#timeHalves = new Uint32Array(this.#times.buffer)
    this.#values = new Float64Array(events)
    this.#valueHalves = new Uint32Array(this.#values.buffer)
    this.#qualities = new Uint8Array(events)
    this.#places = new Uint32Array(events)
  }

  #fillSeries(layout: Layout, devices: number, metrics: number, maxEvents: number): void {
    const device = layout.of(f.seriesDevice)
    const metric = layout.of(f.seriesMetric)
    const n = countVarints(device)
    const have = countVarints(metric)
    if (have !== n) throw invalid(`series_metric: want ${n} entries as in series_device, have ${have}`)
    if (n > maxEvents) throw invalid(`series_device: want at most ${maxEvents}, have ${n}`)
    this.#seriesCount = n
    if (n > this.#seriesDevice.length) {
      const series = Math.max(n, 2 * this.#seriesDevice.length, 16)
      this.#seriesDevice = new Uint32Array(series)
      this.#seriesMetric = new Uint32Array(series)
      this.#power = new Float64Array(series)
      this.#delta = new Uint8Array(series)
      this.#last = new Float64Array(series)
    }
    this.#dictionary(device, this.#seriesDevice, devices, 'series_device')
    this.#dictionary(metric, this.#seriesMetric, metrics, 'series_metric')
  }

  #dictionary(bytes: Uint8Array, into: Uint32Array, below: number, name: string): void {
    const reader = this.#reader
    reader.reset(bytes)
    for (let i = 0; i < this.#seriesCount; i++) {
      if (!reader.next() || reader.high !== 0 || reader.low >= below) throw invalid(`${name}: entry ${i} is not below ${below}`)
      into[i] = reader.low
    }
  }

  #readSeries(layout: Layout, n: number): void {
    const runs = this.#runs
    runs.start(layout, f.series, n)
    const count = this.#seriesCount
    let low = 0
    let high = 0
    for (let i = 0; i < n;) {
      let events = runs.next()
      runs.entry.unzigzag()
      for (; events > 0; events--, i++) {
        const sum = low + runs.entry.low
        high = (high + runs.entry.high + (sum > 0xffff_ffff ? 1 : 0)) >>> 0
        low = sum >>> 0
        if (high !== 0 || low >= count) throw invalid(`series: event ${i}: series ${signed(low, high)} of ${count}`)
        this.#series[i] = low
      }
    }
    runs.end()
  }

  /** The sums wrap at 64 bits, as in Go. */
  #readTimes(layout: Layout, n: number): void {
    const runs = this.#runs
    runs.start(layout, f.times, n)
    const halves = this.#timeHalves
    let low = 0
    let high = 0
    for (let i = 0; i < n;) {
      let events = runs.next()
      runs.entry.unzigzag()
      for (; events > 0; events--, i++) {
        const sum = low + runs.entry.low
        high = (high + runs.entry.high + (sum > 0xffff_ffff ? 1 : 0)) >>> 0
        low = sum >>> 0
        halves[2 * i] = low
        halves[2 * i + 1] = high
      }
    }
    runs.end()
  }

  #readQualities(layout: Layout, n: number): void {
    const runs = this.#runs
    runs.start(layout, f.qualities, n)
    if (runs.empty) {
      this.#qualities.fill(0, 0, n)
      return
    }
    for (let i = 0; i < n;) {
      const events = runs.next()
      if (runs.entry.high !== 0 || runs.entry.low > 2) throw invalid(`qualities: ${BigInt.asUintN(64, signed(runs.entry.low, runs.entry.high))} is not a quality`)
      this.#qualities.fill(runs.entry.low, i, i + events)
      i += events
    }
    runs.end()
  }

  #readScales(layout: Layout, metrics: number): void {
    const column = layout.of(f.scales)
    this.#power.fill(0, 0, this.#seriesCount)
    this.#delta.fill(0, 0, this.#seriesCount)
    this.#last.fill(0, 0, this.#seriesCount)
    if (column.length === 0) return
    const n = countVarints(column)
    if (n !== metrics) throw invalid(`scales: want ${metrics} entries, one for each metric, have ${n}`)
    const reader = this.#reader
    reader.reset(column)
    const scales = new Uint8Array(n)
    for (let i = 0; i < n; i++) {
      if (!reader.next()) throw invalid('scales: varint past 64 bits')
      const scale = reader.low
      if (reader.high !== 0 || scale > 17 + maxExponent || (scale > 1 + maxExponent && scale < 17)) {
        throw invalid(`scales: entry ${i}: unknown scale ${BigInt.asUintN(64, signed(scale, reader.high))}`)
      }
      scales[i] = scale
    }
    for (let i = 0; i < this.#seriesCount; i++) {
      const scale = scales[this.#seriesMetric[i]!]!
      if (scale === 0) continue
      this.#delta[i] = scale < 17 ? 0 : 1
      this.#power[i] = powers[scale < 17 ? scale - 1 : scale - 17]!
    }
  }

  #readValues(layout: Layout, n: number): void {
    const raw = layout.of(f.values)
    const view = new DataView(raw.buffer, raw.byteOffset, raw.length)
    const reader = this.#reader
    reader.reset(layout.of(f.decimals))
    let rawAt = 0
    for (let i = 0; i < n; i++) {
      const series = this.#series[i]!
      const power = this.#power[series]!
      if (power === 0) {
        if (rawAt === raw.length) throw invalid(`values: ended at event ${i}`)
        // By halves, so that the bits of a NaN stay.
        this.#valueHalves[2 * i] = view.getUint32(rawAt, true)
        this.#valueHalves[2 * i + 1] = view.getUint32(rawAt + 4, true)
        rawAt += 8
        continue
      }
      if (reader.at === reader.end) throw invalid(`decimals: ended at event ${i}`)
      if (!reader.next()) throw invalid(`decimals: event ${i}: varint past 64 bits`)
      reader.unzigzag()
      const k = decimal(reader, this.#last[series]!)
      if (k === undefined) throw invalid(`decimals: event ${i}: not within ±2^53`)
      this.#last[series] = this.#delta[series] === 1 ? k : 0
      this.#values[i] = k / power
    }
  }
}

/** The reader's signed integer plus last, |last| < 2^53; undefined unless the sum (of 64 bits, as in Go) is within ±2^53. */
function decimal(reader: VarintReader, last: number): number | undefined {
  const high = reader.high | 0
  if (high >= -0x20_0000 && high < 0x20_0000) {
    // Within ±2^53, so that the sum is exact where it matters.
    const k = high * 2 ** 32 + reader.low + last
    return k < 2 ** 53 && k > -(2 ** 53) ? k : undefined
  }
  const k = BigInt.asIntN(64, signed(reader.low, reader.high) + BigInt(last))
  return k < 1n << 53n && k > -(1n << 53n) ? Number(k) : undefined
}
