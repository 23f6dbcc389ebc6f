import type { Detector } from '../detector/index.ts'
import { ClockEstimator, nowMicros, type Offset } from './clock.ts'
import type { DetectorPool } from './detectors.ts'
import { LiveError } from './error.ts'
import { decodeFrame, encodeClock, type ClockResponse, type LiveFrame } from './frames.ts'
import { Latency } from './latency.ts'
import { quality, RecordDecoder, type RecordEvents } from './record.ts'

/** How a connection is doing, by the frames that arrive. lost: none for 3 s. */
export type Liveness = 'waiting' | 'live' | 'stale' | 'lost'

/** Times in ms. The gateway sends a heartbeat every 500 ms. */
export const liveTiming = { staleAfter: 1_500, lostAfter: 3_000, clockFast: 50, clockFastCount: 10, clock: 1_000 } as const

/** More series than this are neither stored nor shown. */
const maxSeries = 16_384

/** One series of the gateway, as it is now. */
export interface Series {
  /** Its place in the pipeline's list. */
  readonly index: number
  readonly device: string
  readonly metric: string
  /** Of the newest event: microseconds since 1970 of the source's clock. */
  time: number
  value: number
  quality: number
  /** Its score in [0,1]; NaN where it is not scored: bad quality, not finite, or more series than detectors. */
  score: number
  /** Anomalous events so far; the greatest score since the last look, and the event that has it. */
  anomalies: number
  peak: number
  peakTime: number
  peakValue: number
  events: number
  /** When the gateway's program read the newest event, by our clock in µs; NaN while the offset is not known. */
  read: number
  changed: boolean
  detector: Detector | undefined
}

/** A live frame whose events were scored. The object is reused: copy what you store. */
export interface ScoredFrame {
  /** The events in the frame. */
  n: number
  /** By the gateway's clock, in µs. */
  sentMicros: number
  /** By our clock, in µs. */
  receivedMicros: number
  scoredMicros: number
  /** For each event: sent minus read, in µs. */
  ageMicros: Uint32Array
  /** The gateway's clock minus ours and its error; undefined before the first exchange. */
  offset: Offset | undefined
}

/** A scored event, for comparisons with other detectors. */
export interface ScoredEvent {
  device: string
  metric: string
  time: bigint
  value: number
  score: number
  anomalous: boolean
}

export interface PipelineOptions {
  detectors: DetectorPool
  /** Sends a frame on the channel from which the frames come. May throw while it is not open. */
  send(frame: Uint8Array<ArrayBuffer>): void
  /** Our clock in µs since 1970. */
  now?: () => number
  onscored?: (frame: ScoredFrame) => void
  onanomaly?: (series: Series) => void
  onliveness?: (liveness: Liveness) => void
}

/** Counters since the pipeline was made. */
export interface PipelineCounters {
  frames: number
  events: number
  /** Frames that never arrived, by the gaps of their sequence numbers. */
  lost: number
  heartbeats: number
  /** Events that were not newer than their series, so they are neither shown nor scored, as in the cloud. */
  late: number
  /** Events of bad quality or not finite, which are shown and not scored. */
  bad: number
  /** Events of series above the detectors' limit, and above the limit of series. */
  unscored: number
  ignored: number
  /** Frames and records that are not valid, and frames of other kinds. */
  invalid: number
  skipped: number
}

/**
 * What happens to the frames of the channel `live`, on whichever thread and transport: it decodes and scores events,
 * measures latencies, asks for the gateway's clock, and knows whether the gateway is alive.
 */
export class LivePipeline {
  readonly latency = new Latency()
  readonly counters: PipelineCounters = {
    frames: 0, events: 0, lost: 0, heartbeats: 0, late: 0, bad: 0, unscored: 0, ignored: 0, invalid: 0, skipped: 0,
  }
  /** All series, in the order of their first event. */
  readonly series: Series[] = []
  /** What the last frame that is not valid was rejected for. */
  lastError = ''
  /** Called with each scored event while it is set. */
  onevent: ((event: ScoredEvent) => void) | undefined
  readonly #options: PipelineOptions
  readonly #now: () => number
  readonly #decoder = new RecordDecoder()
  readonly #byName = new Map<string, Map<string, Series>>()
  readonly #scored: ScoredFrame
  #clock = new ClockEstimator()
  #offset: Offset | undefined
  #asked = 0
  #highest = 0
  #received = 0
  #heard = -Infinity
  #liveness: Liveness = 'waiting'
  #askTimer: ReturnType<typeof setTimeout> | undefined
  #watchTimer: ReturnType<typeof setInterval> | undefined

  constructor(options: PipelineOptions) {
    this.#options = options
    this.#now = options.now ?? nowMicros
    this.#scored = { n: 0, sentMicros: 0, receivedMicros: 0, scoredMicros: 0, ageMicros: new Uint32Array(0), offset: undefined }
  }

  /** Starts with a new connection: asks for the clock and watches. Series and their detectors stay. */
  start(): void {
    this.stop()
    this.#clock = new ClockEstimator()
    this.#offset = undefined
    this.#asked = this.#highest = this.#received = 0
    this.#heard = -Infinity
    this.#setLiveness('waiting')
    this.#ask()
    this.#watchTimer = setInterval(() => this.#watch(), 100)
  }

  stop(): void {
    clearTimeout(this.#askTimer)
    clearInterval(this.#watchTimer)
  }

  get liveness(): Liveness {
    return this.#liveness
  }

  /** For how long no frame has come, in ms; Infinity before the first one. */
  get silentMillis(): number {
    return (this.#now() - this.#heard) / 1000
  }

  /** The gateway's clock as it is known now. */
  get offset(): Offset | undefined {
    return this.#clock.at(this.#now())
  }

  /** Handles a message of the channel. Never throws: what is not valid is counted, and the next one is handled. */
  receive(data: ArrayBuffer): void {
    const received = this.#now()
    try {
      this.#frame(new Uint8Array(data), received)
    } catch (cause) {
      if (!(cause instanceof LiveError)) throw cause
      this.counters.invalid++
      this.lastError = cause.message
    }
  }

  #frame(bytes: Uint8Array, received: number): void {
    const frame = decodeFrame(bytes)
    switch (frame?.kind) {
      case 'live':
        this.#alive(received)
        return this.#live(frame, received)
      case 'heartbeat':
        this.counters.heartbeats++
        return this.#alive(received)
      case 'clock response':
        this.#alive(received)
        return this.#clocked(frame, received)
      case 'clock request':
        try {
          this.#options.send(encodeClock(frame.id, frame.t0, { t1: received, t2: this.#now() }))
        } catch {
          // The channel has closed: nobody waits for it.
        }
        return
      default:
        this.counters.skipped++
    }
  }

  #live(frame: LiveFrame, received: number): void {
    const events = this.#decoder.decode(frame.record)
    if (events.length + events.rejected !== frame.ages.length) {
      throw new LiveError('frame', `frame: live: ${frame.ages.length} ages for ${events.length + events.rejected} events`)
    }
    this.counters.frames++
    this.#sequence(frame.seq)
    const offset = this.#offset
    const sent = offset === undefined ? NaN : frame.sent - offset.micros
    const table = this.#table(events)
    for (let i = 0; i < events.length; i++) {
      const series = table[events.series[i]!]
      if (series === undefined) this.counters.ignored++
      else this.#event(series, events, i, sent - frame.ages[events.places[i]!]!)
    }
    this.counters.events += events.length
    const scored = this.#now()
    if (offset !== undefined) this.latency.add(frame.ages, received - sent, scored - received)
    if (this.#options.onscored !== undefined) {
      const f = this.#scored
      f.n = frame.ages.length
      f.sentMicros = frame.sent
      f.receivedMicros = received
      f.scoredMicros = scored
      f.ageMicros = frame.ages
      f.offset = offset
      this.#options.onscored(f)
    }
  }

  #event(series: Series, events: RecordEvents, i: number, read: number): void {
    const time = Number(events.times[i]!)
    // As in the cloud: what is not newer is late, and what is bad is not scored.
    if (time <= series.time) {
      this.counters.late++
      return
    }
    const value = events.values[i]!
    series.time = time
    series.value = value
    series.quality = events.qualities[i]!
    series.read = read
    series.events++
    series.changed = true
    series.score = NaN
    if (series.quality === quality.bad || !Number.isFinite(value)) {
      this.counters.bad++
      return
    }
    const detector = series.detector
    if (detector === undefined) {
      this.counters.unscored++
      return
    }
    const anomalous = detector.step(events.times, events.values, i)
    const score = detector.score
    series.score = score
    if (score >= series.peak) {
      series.peak = score
      series.peakTime = time
      series.peakValue = value
    }
    if (anomalous) {
      series.anomalies++
      this.#options.onanomaly?.(series)
    }
    if (this.onevent !== undefined) {
      this.onevent({ device: series.device, metric: series.metric, time: events.times[i]!, value, score, anomalous })
    }
  }

  /** The series of a record's dictionary; undefined above the limit. */
  #table(events: RecordEvents): (Series | undefined)[] {
    const table = new Array<Series | undefined>(events.seriesDevice.length)
    for (let s = 0; s < table.length; s++) {
      const device = events.devices[events.seriesDevice[s]!]!
      const metric = events.metrics[events.seriesMetric[s]!]!
      if (device === '' || metric === '') continue // a name that is not valid, of which no event is left
      table[s] = this.#byName.get(device)?.get(metric) ?? this.#create(device, metric)
    }
    return table
  }

  #create(device: string, metric: string): Series | undefined {
    if (this.series.length === maxSeries) return undefined
    const series: Series = {
      index: this.series.length, device, metric, time: -Infinity, value: NaN, quality: quality.good, score: NaN, anomalies: 0,
      peak: 0, peakTime: NaN, peakValue: NaN, events: 0, read: NaN, changed: false, detector: this.#options.detectors.detector(),
    }
    this.series.push(series)
    let ofDevice = this.#byName.get(device)
    if (ofDevice === undefined) this.#byName.set(device, (ofDevice = new Map()))
    ofDevice.set(metric, series)
    return series
  }

  /** Counts gaps. Numbers wrap, and frames can overtake each other. */
  #sequence(seq: number): void {
    this.#received++
    const ahead = (seq - this.#highest) | 0
    if (this.#received === 1) {
      this.#highest = seq
      return
    }
    if (ahead > 0) {
      this.counters.lost += ahead - 1
      this.#highest = seq
    } else if (this.counters.lost > 0) {
      this.counters.lost-- // it was only overtaken
    }
  }

  #clocked({ t0, t1, t2 }: ClockResponse, received: number): void {
    this.#clock.add(t0, t1, t2, received)
    this.#offset = this.#clock.at(received)
  }

  #ask(): void {
    try {
      this.#options.send(encodeClock(++this.#asked, this.#now()))
    } catch {
      this.#asked-- // not open yet, or no longer
    }
    const { clockFast, clockFastCount, clock } = liveTiming
    this.#askTimer = setTimeout(() => this.#ask(), this.#asked < clockFastCount ? clockFast : clock)
  }

  #alive(received: number): void {
    this.#heard = received
    if (this.#liveness !== 'live') this.#setLiveness('live')
  }

  #watch(): void {
    const silent = this.silentMillis
    if (this.#liveness === 'waiting' || silent < liveTiming.staleAfter) return
    this.#setLiveness(silent < liveTiming.lostAfter ? 'stale' : 'lost')
  }

  #setLiveness(liveness: Liveness): void {
    if (this.#liveness === liveness) return
    this.#liveness = liveness
    this.#options.onliveness?.(liveness)
  }
}
