import { DetectorError, DetectorModule, type Detector } from '../detector/index.ts'

/**
 * Detectors for more series than one instance of the module has: it makes another instance (0.8 MB, 256 series) when all
 * slots are in use, up to a limit.
 */
export class DetectorPool {
  /** The most series that are scored. */
  readonly limit: number
  readonly threshold: number
  readonly #module: WebAssembly.Module
  readonly #instances: DetectorModule[]
  #used = 0

  constructor(module: WebAssembly.Module, limit = 4096) {
    this.#module = module
    this.limit = limit
    const first = new DetectorModule(module)
    this.#instances = [first]
    this.threshold = first.threshold
  }

  /** Loads the module from its URL. Rejects with a DetectorError. */
  static async load(url: string | URL, limit?: number): Promise<DetectorPool> {
    let module: WebAssembly.Module
    try {
      const response = await fetch(url)
      if (!response.ok) throw new Error(`${response.url}: ${response.status} ${response.statusText}`)
      module = await WebAssembly.compile(await response.arrayBuffer())
    } catch (cause) {
      throw new DetectorError('load', `the detector's module cannot be loaded: ${cause instanceof Error ? cause.message : String(cause)}`)
    }
    return new DetectorPool(module, limit)
  }

  get used(): number {
    return this.#used
  }

  /** Instances of the module so far. */
  get instances(): number {
    return this.#instances.length
  }

  /** A detector for a new series, or undefined when the limit is reached. */
  detector(): Detector | undefined {
    if (this.#used === this.limit) return undefined
    this.#used++
    const last = this.#instances.at(-1)!
    try {
      return last.detector()
    } catch (cause) {
      if (!(cause instanceof DetectorError) || cause.code !== 'full') throw cause
    }
    const next = new DetectorModule(this.#module)
    this.#instances.push(next)
    return next.detector()
  }
}
