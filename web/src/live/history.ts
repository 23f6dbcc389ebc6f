import type { ControlMessage } from './control.ts'
import { LiveError } from './error.ts'
import { decodeFrame } from './frames.ts'
import { RecordDecoder } from './record.ts'

/** Past events of one series, by time. */
export interface PastSeries {
  device: string
  metric: string
  /** µs since 1970 of the source's clock. */
  times: number[]
  values: number[]
  qualities: number[]
}

const maxEvents = 1_000_000
const timeoutMillis = 20_000

interface Request {
  series: Map<string, PastSeries>
  events: number
  frames: number
  /** What the gateway says that it sent; undefined until then. */
  want: number | undefined
  last: boolean
  resolve(series: PastSeries[]): void
  reject(cause: LiveError): void
  timer: ReturnType<typeof setTimeout>
}

/** The requests for past events of one connection. Frames and the message at their end come in any order. */
export class HistoryRequests {
  readonly #decoder = new RecordDecoder()
  readonly #requests = new Map<number, Request>()
  #ids = 0

  /** Makes a request; send gives its id to the gateway. */
  request(send: (id: number) => void): Promise<PastSeries[]> {
    const id = ++this.#ids
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.fail(id, new LiveError('gateway', `no history within ${timeoutMillis / 1000} s`)), timeoutMillis)
      this.#requests.set(id, { series: new Map(), events: 0, frames: 0, want: undefined, last: false, resolve, reject, timer })
      try {
        send(id)
      } catch (cause) {
        this.fail(id, new LiveError('closed', `the request cannot be sent: ${cause instanceof Error ? cause.message : String(cause)}`))
      }
    })
  }

  /** Handles a frame of the channel `history`. Throws a LiveError for one that is not valid. */
  frame(data: unknown): void {
    if (!(data instanceof ArrayBuffer)) throw new LiveError('frame', 'frame: history: a text')
    const frame = decodeFrame(new Uint8Array(data))
    if (frame?.kind !== 'history') return
    const request = this.#requests.get(frame.request)
    if (request === undefined) return // it was given up
    try {
      this.#add(request, frame.record)
    } catch (cause) {
      if (!(cause instanceof LiveError)) throw cause
      this.fail(frame.request, cause)
      throw cause
    }
    request.last ||= frame.last
    this.#settle(frame.request, request)
  }

  /** Handles the message at the end of a request. */
  done({ id, events, frames }: ControlMessage & { type: 'history' }): void {
    const request = this.#requests.get(id)
    if (request === undefined) return
    request.want = Number.isNaN(frames) ? Infinity : frames
    if (events === 0) request.want = 0
    this.#settle(id, request)
  }

  fail(id: number, cause: LiveError): void {
    const request = this.#requests.get(id)
    if (request === undefined) return
    this.#requests.delete(id)
    clearTimeout(request.timer)
    request.reject(cause)
  }

  /** Rejects what is open: the connection has ended. */
  close(cause: LiveError): void {
    for (const id of [...this.#requests.keys()]) this.fail(id, cause)
  }

  #add(request: Request, record: Uint8Array): void {
    const events = this.#decoder.decode(record)
    request.frames++
    request.events += events.length
    if (request.events > maxEvents) throw new LiveError('full', `more than ${maxEvents} events of history`)
    const table = Array.from(events.seriesDevice, (device, s) => {
      const name = { device: events.devices[device]!, metric: events.metrics[events.seriesMetric[s]!]! }
      const key = `${name.device}\n${name.metric}` // no name has a line feed
      let series = request.series.get(key)
      if (series === undefined) request.series.set(key, (series = { ...name, times: [], values: [], qualities: [] }))
      return series
    })
    for (let i = 0; i < events.length; i++) {
      const series = table[events.series[i]!]!
      series.times.push(Number(events.times[i]!))
      series.values.push(events.values[i]!)
      series.qualities.push(events.qualities[i]!)
    }
  }

  #settle(id: number, request: Request): void {
    if (request.want === undefined) return
    if (request.frames < request.want && !request.last) return
    this.#requests.delete(id)
    clearTimeout(request.timer)
    request.resolve([...request.series.values()].filter(({ times }) => times.length > 0))
  }
}
