import { text, type Detector, type DetectorModule } from './detector.ts'
import { DetectorError } from './error.ts'
import type { Counters, Reply, Request } from './messages.ts'

/** Handles the requests of the worker, without the worker itself. */
export class Scorer {
  readonly #module: DetectorModule
  readonly #now: () => number
  readonly #detectors = new Map<string, Detector>()
  readonly #rate: Rate
  #blocks = 0
  #samples = 0
  #anomalies = 0
  #failures = 0
  #busyMillis = 0

  /** now is a clock in milliseconds. */
  constructor(module: DetectorModule, now: () => number) {
    this.#module = module
    this.#now = now
    this.#rate = new Rate(now())
  }

  /** Never throws: an error becomes a reply. */
  handle(request: Request): Reply {
    try {
      return this.#handle(request)
    } catch (cause) {
      this.#failures++
      const code = cause instanceof DetectorError ? cause.code : 'load'
      return { kind: 'failed', id: request.id, code, reason: text(cause) }
    }
  }

  #handle(request: Request): Reply {
    const { id } = request
    switch (request.kind) {
      case 'load':
        throw new DetectorError('arguments', 'the module is already loaded')
      case 'score':
        return this.#score(request)
      case 'save': {
        const detector = this.#existing(request.series)
        return { kind: 'saved', id, state: detector.save(), hash: detector.hash() }
      }
      case 'restore':
        this.#restore(request)
        return { kind: 'done', id }
      case 'forget':
        this.#existing(request.series).free()
        this.#detectors.delete(request.series)
        return { kind: 'done', id }
      case 'counters':
        return { kind: 'counters', id, counters: this.counters() }
      case 'bench': {
        const start = this.#now()
        const anomalies = this.#module.bench(request.samples)
        return { kind: 'benched', id, samples: request.samples, anomalies, seconds: (this.#now() - start) / 1000 }
      }
    }
  }

  counters(): Counters {
    return {
      series: this.#detectors.size,
      blocks: this.#blocks,
      samples: this.#samples,
      anomalies: this.#anomalies,
      failures: this.#failures,
      busySeconds: this.#busyMillis / 1000,
      samplesPerSecond: this.#rate.at(this.#now(), this.#samples),
    }
  }

  #score(request: Request & { kind: 'score' }): Reply {
    const { id, series, times, values } = request
    const start = this.#now()
    const known = this.#detectors.get(series)
    const detector = known ?? this.#allocate(request.sensors)
    const scores = new Float64Array(times.length)
    const flags = new Uint8Array(times.length)
    let anomalies: number
    try {
      if (detector.sensors !== request.sensors) {
        throw new DetectorError('arguments', `series ${series} has ${detector.sensors} sensors, got ${request.sensors}`)
      }
      anomalies = detector.push(times, values, scores, flags)
    } catch (cause) {
      if (known === undefined) detector.free()
      throw cause
    }
    this.#detectors.set(series, detector)
    this.#blocks++
    this.#samples += times.length
    this.#anomalies += anomalies
    const end = this.#now()
    this.#busyMillis += end - start
    this.#rate.at(end, this.#samples)
    return { kind: 'scored', id, series, times, values, scores, flags, anomalies }
  }

  /** A rejected state leaves the series unchanged. */
  #restore(request: Request & { kind: 'restore' }): void {
    const { series, sensors, state } = request
    const detector = this.#allocate(sensors)
    try {
      detector.restore(state)
    } catch (cause) {
      detector.free()
      throw cause
    }
    this.#detectors.get(series)?.free()
    this.#detectors.set(series, detector)
  }

  #allocate(sensors: number): Detector {
    return sensors === 1 ? this.#module.detector() : this.#module.machine(sensors)
  }

  #existing(series: string): Detector {
    const detector = this.#detectors.get(series)
    if (detector === undefined) throw new DetectorError('unknown', `unknown series ${series}`)
    return detector
  }
}

/** Rate is the growth of a count over the last full second. */
class Rate {
  #since: number
  #count = 0
  #perSecond = 0

  constructor(now: number) {
    this.#since = now
  }

  at(now: number, count: number): number {
    const millis = now - this.#since
    if (millis >= 1000) {
      this.#perSecond = ((count - this.#count) * 1000) / millis
      this.#since = now
      this.#count = count
    }
    return this.#perSecond
  }
}
