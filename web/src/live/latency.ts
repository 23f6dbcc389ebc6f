import { Histogram, type Percentiles } from './histogram.ts'

/** The stages of an event's way, in µs, and the sum of all. The first is measured by the gateway's clock alone. */
export interface StagePercentiles {
  /** read → sent: in the gateway. */
  gateway: Percentiles
  /** sent → received: on the network, by both clocks: one-way, so with the error of the offset. */
  network: Percentiles
  /** received → scored: in the page. */
  scoring: Percentiles
  /** read → scored. */
  total: Percentiles
}

/** Latencies of events by stage. */
export class Latency {
  readonly gateway = new Histogram()
  readonly network = new Histogram()
  readonly scoring = new Histogram()
  readonly total = new Histogram()

  /** Adds the events of a frame: their ages when it was sent, and the two other stages, which they share. */
  add(ages: Uint32Array, network: number, scoring: number): void {
    const rest = network + scoring
    for (let i = 0; i < ages.length; i++) {
      const age = ages[i]!
      this.gateway.record(age)
      this.total.record(age + rest)
    }
    this.network.record(network, ages.length)
    this.scoring.record(scoring, ages.length)
  }

  percentiles(): StagePercentiles {
    return {
      gateway: this.gateway.percentiles(), network: this.network.percentiles(),
      scoring: this.scoring.percentiles(), total: this.total.percentiles(),
    }
  }

  reset(): void {
    for (const histogram of [this.gateway, this.network, this.scoring, this.total]) histogram.reset()
  }
}
