/** As loadtest/live/latency reads it: [cell, count] pairs of cells of 10 µs, and the exact extremes in µs. */
export interface Counts {
  cells: [number, number][]
  min: number
  max: number
}

const cellMicros = 10
/** From −50 ms, which only a wrong offset of the clocks can cause, to 10 s; what is beyond is in the outermost cells. */
const first = -5_000
const cells = 1_005_000

/** Counts latencies without allocating. */
export class Counter {
  readonly #cells = new Uint32Array(cells)
  #count = 0
  #lowest = cells
  #highest = -1
  #min = Infinity
  #max = -Infinity

  add(micros: number): void {
    const cell = Math.min(Math.max(Math.floor(micros / cellMicros) - first, 0), cells - 1)
    this.#cells[cell]!++
    this.#count++
    if (cell < this.#lowest) this.#lowest = cell
    if (cell > this.#highest) this.#highest = cell
    if (micros < this.#min) this.#min = micros
    if (micros > this.#max) this.#max = micros
  }

  get count(): number {
    return this.#count
  }

  /** The upper bound, in µs, of the cell of this quantile; NaN when nothing was counted. */
  quantile(q: number): number {
    let seen = 0
    for (let i = this.#lowest; i <= this.#highest; i++) {
      seen += this.#cells[i]!
      if (seen >= q * this.#count) return (i + 1 + first) * cellMicros
    }
    return NaN
  }

  counts(): Counts {
    if (this.#count === 0) return { cells: [], min: 0, max: 0 }
    const out: [number, number][] = []
    for (let i = this.#lowest; i <= this.#highest; i++) {
      const n = this.#cells[i]!
      if (n > 0) out.push([i + first, n])
    }
    return { cells: out, min: this.#min, max: this.#max }
  }

  reset(): void {
    if (this.#count > 0) this.#cells.fill(0, this.#lowest, this.#highest + 1)
    this.#count = 0
    this.#lowest = cells
    this.#highest = -1
    this.#min = Infinity
    this.#max = -Infinity
  }
}
