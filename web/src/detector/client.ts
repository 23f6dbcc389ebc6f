import type { Times } from './detector.ts'
import { DetectorError } from './error.ts'
import type { Counters, Reply, Request, Scored } from './messages.ts'

/** The part of a Worker that the client needs. */
export interface WorkerPort {
  postMessage(message: Request, transfer: Transferable[]): void
  terminate(): void
  onmessage: ((event: MessageEvent<Reply>) => void) | null
  onerror: ((event: ErrorEvent) => void) | null
  onmessageerror: ((event: MessageEvent) => void) | null
}

type Kind = Reply['kind']
type Unsent = Request extends infer R ? (R extends Request ? Omit<R, 'id'> : never) : never

interface Waiting {
  kind: Kind
  resolve(reply: Reply): void
  reject(cause: DetectorError): void
}

/**
 * The page's side of the worker: scores blocks of samples off the main thread. Series come into being with their
 * first block and keep their state until they are forgotten. Every method rejects with a DetectorError.
 */
export class DetectorClient {
  readonly #worker: WorkerPort
  readonly #waiting = new Map<number, Waiting>()
  readonly #ready: Promise<Reply & { kind: 'loaded' }>
  #next = 0
  #broken: DetectorError | undefined

  /** module is the absolute URL of detector.wasm. */
  constructor(worker: WorkerPort, module: string) {
    this.#worker = worker
    worker.onmessage = ({ data }) => this.#take(data)
    worker.onerror = (event) => this.#fail(new DetectorError('load', `the detector's worker died: ${event.message}`))
    worker.onmessageerror = () => this.#fail(new DetectorError('load', 'a message of the detector\'s worker was not readable'))
    this.#ready = this.#ask('loaded', { kind: 'load', module }, [])
    // Whoever waits for it hears of it; nobody has to.
    this.#ready.catch(() => {})
  }

  /** Starts the worker in a browser. */
  static start(module: string | URL): DetectorClient {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'detector' })
    return new DetectorClient(worker, String(module))
  }

  /** Resolves when the module is loaded: with the threshold, and how many series and machines there can be. */
  ready(): Promise<{ threshold: number; slots: number; machines: number; maxSensors: number }> {
    return this.#ready
  }

  /**
   * Scores the next samples of a series. times and values, with all of their buffers, move to the worker: use those of
   * the result. For a machine
   * of several sensors, values holds one reading per sensor for each time.
   */
  score(series: string, times: Times, values: Float64Array<ArrayBuffer>, sensors = 1): Promise<Scored> {
    const transfer = [...new Set([times.buffer as ArrayBuffer, values.buffer])]
    return this.#ask('scored', { kind: 'score', series, sensors, times, values }, transfer)
  }

  /** The series' state and its hash. */
  save(series: string): Promise<{ state: Uint8Array<ArrayBuffer>; hash: bigint }> {
    return this.#ask('saved', { kind: 'save', series }, [])
  }

  /** Gives the series a saved state; it need not exist before. */
  async restore(series: string, state: Uint8Array<ArrayBuffer>, sensors = 1): Promise<void> {
    await this.#ask('done', { kind: 'restore', series, sensors, state }, [])
  }

  /** Makes room for another series. */
  async forget(series: string): Promise<void> {
    await this.#ask('done', { kind: 'forget', series }, [])
  }

  async counters(): Promise<Counters> {
    return (await this.#ask('counters', { kind: 'counters' }, [])).counters
  }

  /** How fast this machine scores made-up samples. */
  bench(samples: number): Promise<{ samples: number; anomalies: number; seconds: number }> {
    return this.#ask('benched', { kind: 'bench', samples }, [])
  }

  /** Ends the worker; what is still waited for is rejected. */
  close(): void {
    this.#fail(new DetectorError('load', 'the detector was closed'))
  }

  #ask<K extends Kind>(kind: K, message: Unsent, transfer: Transferable[]): Promise<Reply & { kind: K }> {
    const id = this.#next++
    return new Promise((resolve, reject) => {
      if (this.#broken !== undefined) {
        reject(this.#broken)
        return
      }
      this.#waiting.set(id, { kind, resolve: resolve as (reply: Reply) => void, reject })
      try {
        this.#worker.postMessage({ ...message, id } as Request, transfer)
      } catch (cause) {
        this.#waiting.delete(id)
        reject(new DetectorError('arguments', `not sent: ${String(cause)}`))
      }
    })
  }

  #take(reply: Reply): void {
    const waiting = this.#waiting.get(reply.id)
    if (waiting === undefined) return
    this.#waiting.delete(reply.id)
    if (reply.kind === 'failed') waiting.reject(new DetectorError(reply.code, reply.reason))
    else if (reply.kind === waiting.kind) waiting.resolve(reply)
    else waiting.reject(new DetectorError('abi', `the worker answered ${reply.kind}, not ${waiting.kind}`))
  }

  #fail(cause: DetectorError): void {
    if (this.#broken !== undefined) return
    this.#broken = cause
    this.#worker.terminate()
    for (const waiting of this.#waiting.values()) waiting.reject(cause)
    this.#waiting.clear()
  }
}
