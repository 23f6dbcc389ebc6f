import { ClockEstimator, nowMicros } from './clock.ts'
import { LiveError } from './error.ts'
import { channels } from './frames.ts'
import { Histogram, type Percentiles } from './histogram.ts'
import type { LiveStats, Look, Reply, Request } from './messages.ts'
import type { Liveness, ScoredEvent } from './pipeline.ts'

/** The part of a Worker that the feed needs. */
export interface WorkerPort {
  postMessage(message: Request, transfer: Transferable[]): void
  terminate(): void
  onmessage: ((event: MessageEvent<Reply>) => void) | null
  onerror: ((event: ErrorEvent) => void) | null
}

type Response = Extract<Reply, { id: number }>
type Unsent = Request extends infer R ? (R extends { id: number } ? Omit<R, 'id'> : never) : never

interface Pending {
  resolve(reply: Response): void
  reject(cause: Error): void
}

/** The page's side of the worker of the live path. Every method rejects once the worker failed or was closed. */
export class LiveFeed {
  /** How the present connection is doing, by its number. */
  onliveness: ((connection: number, liveness: Liveness) => void) | undefined
  /** Whether the browser transfers channels to workers; undefined before the first connection. */
  transferred: boolean | undefined
  readonly #worker: WorkerPort
  readonly #pending = new Map<number, Pending>()
  readonly #loaded: Promise<{ threshold: number; limit: number }>
  readonly #drawn = new Histogram()
  readonly #clock = new ClockEstimator({ windowMicros: 3600e6, wanderPpm: 0 })
  #ids = 0
  #connections = 0
  #relay: { connection: number; channel: RTCDataChannel } | undefined
  #failure: Error | undefined

  /** module is the absolute URL of detector.wasm; limit bounds the series that are scored. */
  constructor(worker: WorkerPort, module: string, limit = 4096) {
    this.#worker = worker
    worker.onmessage = ({ data }) => this.#receive(data)
    worker.onerror = (event) => this.#fail(new LiveError('closed', `the worker of the live path failed: ${event.message}`))
    this.#loaded = this.#request({ kind: 'load', module, limit }) as Promise<Response & { kind: 'loaded' }>
    this.#loaded.then(() => this.#synchronise()).catch(() => {})
  }

  /** Starts the worker in a browser. */
  static start(module: string | URL, limit?: number): LiveFeed {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'live' })
    return new LiveFeed(worker, String(module), limit)
  }

  /** Resolves when the detector is loaded. */
  ready(): Promise<{ threshold: number; limit: number }> {
    return this.#loaded
  }

  /**
   * Creates the channel `live` of a new connection and gives it to the worker, before the first offer: Chromium
   * transfers a channel only right after it was made. Returns the number of the connection.
   */
  attach(pc: RTCPeerConnection): number {
    const connection = this.#connections++
    const channel = pc.createDataChannel(channels.live.label, channels.live.init)
    try {
      this.#worker.postMessage({ kind: 'channel', connection, channel }, [channel as unknown as Transferable])
      this.transferred = true
      this.#relay = undefined
    } catch {
      this.transferred = false
      this.#relay = { connection, channel }
      this.#worker.postMessage({ kind: 'relay', connection }, [])
      channel.binaryType = 'arraybuffer'
      channel.onmessage = ({ data }: MessageEvent<unknown>) => {
        if (data instanceof ArrayBuffer) this.#worker.postMessage({ kind: 'frame', connection, data }, [data])
      }
    }
    return connection
  }

  /** Ends a connection; does nothing for one that is not the present one. */
  detach(connection: number): void {
    if (this.#relay?.connection === connection) this.#relay = undefined
    this.#worker.postMessage({ kind: 'detach', connection }, [])
  }

  /** What changed since the last look, for the next frame of the page. */
  look(): Promise<Look> {
    return this.#request({ kind: 'look' }) as Promise<Response & { kind: 'look' }>
  }

  /** To be called when a look is on the screen: the last stage of its events' latency. */
  drawn({ read }: Look): void {
    const now = nowMicros() + (this.#clock.at(nowMicros())?.micros ?? 0)
    for (const r of read) if (!Number.isNaN(r)) this.#drawn.record(now - r)
  }

  /** Statistics of the worker; reset begins the percentiles anew. drawn: read → drawn, in µs, of what was drawn. */
  async stats(reset = false): Promise<LiveStats & { drawn: Percentiles }> {
    const stats = (await this.#request({ kind: 'stats', reset })) as Response & { kind: 'stats' }
    const drawn = this.#drawn.percentiles()
    if (reset) this.#drawn.reset()
    return { ...stats, drawn }
  }

  /** Resolves with the next scored events, at most a million. */
  async trace(events: number): Promise<ScoredEvent[]> {
    return ((await this.#request({ kind: 'trace', events })) as Response & { kind: 'trace' }).events
  }

  close(): void {
    this.#fail(new LiveError('closed', 'the live path was closed'))
  }

  /** The worker's clock has an origin of its own. */
  async #synchronise(): Promise<void> {
    for (let i = 0; i < 8; i++) {
      const t0 = nowMicros()
      const { micros } = (await this.#request({ kind: 'time' })) as Response & { kind: 'time' }
      this.#clock.add(t0, micros, micros, nowMicros())
    }
  }

  #request(message: Unsent): Promise<Response> {
    const id = this.#ids++
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure)
        return
      }
      this.#pending.set(id, { resolve, reject })
      this.#worker.postMessage({ ...message, id } as Request, [])
    })
  }

  #receive(reply: Reply): void {
    switch (reply.kind) {
      case 'liveness':
        return this.onliveness?.(reply.connection, reply.liveness)
      case 'closed':
        return
      case 'send': {
        const { connection, frame } = reply
        if (this.#relay?.connection === connection && this.#relay.channel.readyState === 'open') this.#relay.channel.send(frame)
        return
      }
      default: {
        const pending = this.#pending.get(reply.id)
        this.#pending.delete(reply.id)
        if (reply.kind === 'failed') pending?.reject(new LiveError('closed', reply.reason))
        else pending?.resolve(reply)
      }
    }
  }

  #fail(cause: Error): void {
    if (this.#failure !== undefined) return
    this.#failure = cause
    this.#worker.terminate()
    for (const pending of this.#pending.values()) pending.reject(cause)
    this.#pending.clear()
  }
}
