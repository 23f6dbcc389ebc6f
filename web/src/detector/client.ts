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

interface Pending {
  kind: Kind
  resolve(reply: Reply): void
  reject(cause: DetectorError): void
}

/**
 * Scores blocks of samples in a worker, off the main thread. A series is created by its first block, or by restore, and
 * has its state until it is forgotten. Every method rejects with a DetectorError.
 */
export class DetectorClient {
  readonly #worker: WorkerPort
  readonly #pending = new Map<number, Pending>()
  readonly #ready: Promise<Reply & { kind: 'loaded' }>
  #next = 0
  #failure: DetectorError | undefined

  /** module is the absolute URL of detector.wasm. */
  constructor(worker: WorkerPort, module: string) {
    this.#worker = worker
    worker.onmessage = ({ data }) => this.#receive(data)
    worker.onerror = (event) => this.#fail(new DetectorError('load', `the detector's worker failed: ${event.message}`))
    worker.onmessageerror = () => this.#fail(new DetectorError('load', 'a message of the detector\'s worker cannot be deserialised'))
    this.#ready = this.#request('loaded', { kind: 'load', module }, [])
    // Only callers of ready() have to handle a rejection.
    this.#ready.catch(() => {})
  }

  /** Starts the worker in a browser. */
  static start(module: string | URL): DetectorClient {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'detector' })
    return new DetectorClient(worker, String(module))
  }

  /** Resolves when the module is loaded, with the threshold and the greatest numbers of series, machines and sensors. */
  ready(): Promise<{ threshold: number; slots: number; machines: number; maxSensors: number }> {
    return this.#ready
  }

  /**
   * Scores the next samples of a series. The buffers of times and values are transferred to the worker: use the arrays
   * of the result afterwards. For a machine with several sensors, values has one reading per sensor for each time.
   */
  score(series: string, times: Times, values: Float64Array<ArrayBuffer>, sensors = 1): Promise<Scored> {
    const transfer = [...new Set([times.buffer as ArrayBuffer, values.buffer])]
    return this.#request('scored', { kind: 'score', series, sensors, times, values }, transfer)
  }

  /** Returns the state of the series and its hash. */
  save(series: string): Promise<{ state: Uint8Array<ArrayBuffer>; hash: bigint }> {
    return this.#request('saved', { kind: 'save', series }, [])
  }

  /** Sets the series to a saved state; creates the series if necessary. */
  async restore(series: string, state: Uint8Array<ArrayBuffer>, sensors = 1): Promise<void> {
    await this.#request('done', { kind: 'restore', series, sensors, state }, [])
  }

  /** Deletes the series, so that another can be created. */
  async forget(series: string): Promise<void> {
    await this.#request('done', { kind: 'forget', series }, [])
  }

  async counters(): Promise<Counters> {
    return (await this.#request('counters', { kind: 'counters' }, [])).counters
  }

  /** Measures how fast generated samples are scored. */
  bench(samples: number): Promise<{ samples: number; anomalies: number; seconds: number }> {
    return this.#request('benched', { kind: 'bench', samples }, [])
  }

  /** Terminates the worker and rejects pending requests. */
  close(): void {
    this.#fail(new DetectorError('load', 'the detector was closed'))
  }

  #request<K extends Kind>(kind: K, message: Unsent, transfer: Transferable[]): Promise<Reply & { kind: K }> {
    const id = this.#next++
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure)
        return
      }
      this.#pending.set(id, { kind, resolve: resolve as (reply: Reply) => void, reject })
      try {
        this.#worker.postMessage({ ...message, id } as Request, transfer)
      } catch (cause) {
        this.#pending.delete(id)
        reject(new DetectorError('arguments', `the request cannot be sent: ${String(cause)}`))
      }
    })
  }

  #receive(reply: Reply): void {
    const pending = this.#pending.get(reply.id)
    if (pending === undefined) return
    this.#pending.delete(reply.id)
    if (reply.kind === 'failed') pending.reject(new DetectorError(reply.code, reply.reason))
    else if (reply.kind === pending.kind) pending.resolve(reply)
    else pending.reject(new DetectorError('abi', `the worker replied ${reply.kind}, want ${pending.kind}`))
  }

  #fail(cause: DetectorError): void {
    if (this.#failure !== undefined) return
    this.#failure = cause
    this.#worker.terminate()
    for (const pending of this.#pending.values()) pending.reject(cause)
    this.#pending.clear()
  }
}
