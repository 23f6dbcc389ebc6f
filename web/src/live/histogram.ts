/** Percentiles of a set of durations, in the unit in which they were recorded. */
export interface Percentiles {
  count: number
  p50: number
  p95: number
  p99: number
  max: number
}

const subBits = 7
const sub = 1 << subBits
const octaves = 30

/**
 * A histogram of bounded memory (16 KB): buckets of a width of 1 up to 128 and of 1/128 of their value above, as HDR
 * histograms have, up to 2^37. A percentile is the upper end of its bucket by the nearest-rank definition, so at most
 * 0.8 % too large; max is exact. Negative values count as 0.
 */
export class Histogram {
  readonly #counts = new Float64Array((octaves + 1) * sub)
  #count = 0
  #max = 0

  record(value: number, times = 1): void {
    if (!(value > 0)) value = 0 // NaN as well
    this.#count += times
    if (value > this.#max) this.#max = value
    this.#counts[index(value)]! += times
  }

  get count(): number {
    return this.#count
  }

  /** The least bucket's end below which p percent of the values are, 0 < p ≤ 100; 0 without values. */
  percentile(p: number): number {
    if (this.#count === 0) return 0
    let left = Math.ceil((p / 100) * this.#count)
    for (let i = 0; i < this.#counts.length; i++) {
      left -= this.#counts[i]!
      if (left <= 0) return Math.min(upper(i), this.#max)
    }
    return this.#max
  }

  percentiles(): Percentiles {
    return { count: this.#count, p50: this.percentile(50), p95: this.percentile(95), p99: this.percentile(99), max: this.#max }
  }

  /** Adds the other's values. */
  merge(other: Histogram): void {
    for (let i = 0; i < this.#counts.length; i++) this.#counts[i]! += other.#counts[i]!
    this.#count += other.#count
    this.#max = Math.max(this.#max, other.#max)
  }

  reset(): void {
    this.#counts.fill(0)
    this.#count = 0
    this.#max = 0
  }
}

function index(value: number): number {
  const v = Math.min(Math.floor(value), 2 ** 37 - 1)
  if (v < sub) return v
  const octave = Math.floor(Math.log2(v)) - subBits
  return (octave + 1) * sub + Math.floor(v / 2 ** octave) - sub
}

function upper(i: number): number {
  if (i < sub) return i
  const octave = Math.floor(i / sub) - 1
  return ((i % sub) + sub + 1) * 2 ** octave - 1
}
