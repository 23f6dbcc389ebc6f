import { DetectorPool } from './detectors.ts'
import type { LiveStats, Look, Reply, Request } from './messages.ts'
import { LivePipeline, type ScoredEvent, type Series } from './pipeline.ts'

/** The part of a worker's global scope that a session needs. */
export interface Scope {
  postMessage(reply: Reply, transfer: Transferable[]): void
}

/** The worker without the worker: one pipeline, which one connection after the other feeds. */
export class LiveSession {
  readonly #scope: Scope
  readonly #load: (url: string, limit: number) => Promise<DetectorPool>
  #pipeline: LivePipeline | undefined
  #pool: DetectorPool | undefined
  #connection = -1
  #channel: RTCDataChannel | undefined
  #created = 0
  #trace: { id: number; events: ScoredEvent[]; want: number } | undefined

  constructor(scope: Scope, load: (url: string, limit: number) => Promise<DetectorPool> = (url, limit) => DetectorPool.load(url, limit)) {
    this.#scope = scope
    this.#load = load
  }

  async handle(request: Request): Promise<void> {
    try {
      await this.#handle(request)
    } catch (cause) {
      if ('id' in request) this.#post({ kind: 'failed', id: request.id, reason: cause instanceof Error ? cause.message : String(cause) })
      else throw cause
    }
  }

  async #handle(request: Request): Promise<void> {
    switch (request.kind) {
      case 'load': {
        const pool = await this.#load(request.module, request.limit)
        this.#pool = pool
        this.#pipeline = new LivePipeline({
          detectors: pool,
          send: (frame) => this.#send(frame),
          onliveness: (liveness) => this.#post({ kind: 'liveness', connection: this.#connection, liveness }),
        })
        // A connection and a trace may have come meanwhile.
        if (this.#trace !== undefined) this.#record()
        if (this.#connection >= 0) this.#pipeline.start()
        return this.#post({ kind: 'loaded', id: request.id, threshold: pool.threshold, limit: pool.limit })
      }
      case 'channel':
        return this.#attach(request.connection, request.channel)
      case 'relay':
        return this.#attach(request.connection, undefined)
      case 'frame':
        if (request.connection === this.#connection) this.#pipeline?.receive(request.data)
        return
      case 'detach':
        if (request.connection === this.#connection) this.#detach()
        return
      case 'look':
        return this.#look(request.id)
      case 'stats':
        return this.#post({ kind: 'stats', id: request.id, ...this.#stats(request.reset) })
      case 'trace':
        return this.#startTrace(request.id, request.events)
      case 'time':
        return this.#post({ kind: 'time', id: request.id, micros: (performance.timeOrigin + performance.now()) * 1000 })
    }
  }

  #attach(connection: number, channel: RTCDataChannel | undefined): void {
    this.#detach()
    this.#connection = connection
    this.#channel = channel
    if (channel !== undefined) {
      channel.binaryType = 'arraybuffer'
      channel.onmessage = ({ data }: MessageEvent<unknown>) => {
        // A text is not a frame: an empty one is counted as not valid.
        this.#pipeline?.receive(data instanceof ArrayBuffer ? data : new ArrayBuffer(0))
      }
      channel.onclose = () => this.#post({ kind: 'closed', connection })
    }
    this.#pipeline?.start()
  }

  #detach(): void {
    this.#pipeline?.stop()
    this.#connection = -1
    const channel = this.#channel
    this.#channel = undefined
    if (channel === undefined) return
    channel.onmessage = channel.onclose = null
    channel.close()
  }

  #send(frame: Uint8Array<ArrayBuffer>): void {
    if (this.#channel !== undefined) this.#channel.send(frame)
    else if (this.#connection >= 0) this.#post({ kind: 'send', connection: this.#connection, frame }, [frame.buffer])
  }

  #look(id: number): void {
    const all = this.#pipeline?.series ?? []
    const created = all.slice(this.#created).map(({ device, metric }) => ({ device, metric }))
    this.#created = all.length
    const changed = all.filter((series) => series.changed)
    const column = (of: (series: Series) => number) => Float64Array.from(changed, of)
    const look: Look = {
      created,
      index: Uint32Array.from(changed, (s) => s.index),
      time: column((s) => s.time), value: column((s) => s.value), quality: Uint8Array.from(changed, (s) => s.quality),
      score: column((s) => s.score), peak: column((s) => s.peak), peakTime: column((s) => s.peakTime), peakValue: column((s) => s.peakValue),
      anomalies: column((s) => s.anomalies), read: column((s) => s.read),
    }
    for (const series of changed) {
      series.changed = false
      series.peak = 0
    }
    const { created: _, ...columns } = look
    this.#post({ kind: 'look', id, ...look }, Object.values(columns).map(({ buffer }) => buffer))
  }

  #stats(reset: boolean): LiveStats {
    const pipeline = this.#pipeline
    if (pipeline === undefined) throw new Error('the detector is not loaded')
    const stats: LiveStats = {
      latency: pipeline.latency.percentiles(), counters: { ...pipeline.counters }, series: pipeline.series.length,
      scored: this.#pool!.used, liveness: pipeline.liveness, offset: pipeline.offset, lastError: pipeline.lastError,
    }
    if (reset) pipeline.latency.reset()
    return stats
  }

  /** Responds with the next scored events, once there are as many. Before the detector is loaded: with the first ones. */
  #startTrace(id: number, want: number): void {
    if (this.#trace !== undefined) throw new Error('one trace at a time')
    if (!(want >= 1 && want <= 1e6)) throw new Error(`a trace of ${want} events: want 1 to 1000000`)
    this.#trace = { id, events: [], want }
    this.#record()
  }

  #record(): void {
    const pipeline = this.#pipeline
    const trace = this.#trace
    if (pipeline === undefined || trace === undefined) return
    pipeline.onevent = (event) => {
      if (trace.events.push(event) < trace.want) return
      pipeline.onevent = undefined
      this.#trace = undefined
      this.#post({ kind: 'trace', id: trace.id, events: trace.events })
    }
  }

  #post(reply: Reply, transfer: Transferable[] = []): void {
    this.#scope.postMessage(reply, transfer)
  }
}
