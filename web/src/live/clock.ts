/** The clock of this thread in microseconds since 1970: monotonic, never set back while the page lives. */
export function nowMicros(): number {
  return (performance.timeOrigin + performance.now()) * 1000
}

/** The other side's clock minus ours, in microseconds, and by how much it can be wrong. */
export interface Offset {
  micros: number
  error: number
  /** The round trip of the sample that was used. */
  roundTrip: number
  /** How much faster the other clock runs, in parts per million, over the samples' time; 0 until that is long enough. */
  driftPpm: number
}

interface Sample {
  at: number
  offset: number
  roundTrip: number
}

/** windowMicros: how long a sample may be used; samples: how many are stored. */
export interface ClockOptions {
  windowMicros: number
  samples: number
  /** How fast two clocks may run apart, which widens the error of an old sample. 50 ppm is that of two bad crystals. */
  wanderPpm: number
}

const defaults: ClockOptions = { windowMicros: 30e6, samples: 64, wanderPpm: 50 }

/**
 * Estimates the other side's clock from exchanges of four times (RFC 5905, section 8). It uses the sample with the least
 * error of a sliding window: half of its round trip, plus what the clocks may have run apart since. Drift is measured
 * between the best samples of the first and of the last third of a longer time.
 */
export class ClockEstimator {
  readonly #options: ClockOptions
  #samples: Sample[] = []
  /** The best sample of each past window, for the drift. */
  #past: Sample[] = []
  #windowEnd = -Infinity

  constructor(options: Partial<ClockOptions> = {}) {
    this.#options = { ...defaults, ...options }
  }

  /**
   * Adds an exchange: t0 sent and t3 received by our clock, t1 received and t2 sent by theirs. False, and it is not used,
   * if the times contradict each other.
   */
  add(t0: number, t1: number, t2: number, t3: number): boolean {
    const roundTrip = t3 - t0 - (t2 - t1)
    if (!Number.isFinite(roundTrip) || t3 < t0 || t2 < t1 || roundTrip < 0) return false
    const sample = { at: t3, offset: (t1 - t0 + (t2 - t3)) / 2, roundTrip }
    this.#samples.push(sample)
    if (this.#samples.length > this.#options.samples) this.#samples.shift()
    if (t3 >= this.#windowEnd) {
      this.#windowEnd = t3 + this.#options.windowMicros
      this.#past.push(sample)
      // Every second one goes once there are many, so that the time they span grows.
      if (this.#past.length > 128) this.#past = this.#past.filter((_, i) => i % 2 === 0 || i === this.#past.length - 1)
    } else {
      const last = this.#past.length - 1
      if (roundTrip < this.#past[last]!.roundTrip) this.#past[last] = sample
    }
    return true
  }

  /** The estimate at this time of our clock; undefined before the first exchange. */
  at(now: number): Offset | undefined {
    let best = this.#samples.at(-1)
    let error = best === undefined ? Infinity : this.#error(best, now)
    for (const sample of this.#samples) {
      if (now - sample.at > this.#options.windowMicros) continue
      const e = this.#error(sample, now)
      if (e < error) {
        best = sample
        error = e
      }
    }
    if (best === undefined) return undefined
    return { micros: best.offset, error, roundTrip: best.roundTrip, driftPpm: this.#drift() }
  }

  #error({ at, roundTrip }: Sample, now: number): number {
    return roundTrip / 2 + (Math.max(now - at, 0) * this.#options.wanderPpm) / 1e6
  }

  #drift(): number {
    const n = this.#past.length
    if (n < 6) return 0
    const least = (samples: Sample[]) => samples.reduce((a, b) => (b.roundTrip < a.roundTrip ? b : a))
    const third = Math.floor(n / 3)
    const first = least(this.#past.slice(0, third))
    const last = least(this.#past.slice(n - third))
    return ((last.offset - first.offset) / (last.at - first.at)) * 1e6
  }
}
