import type { Offset } from './clock.ts'
import type { StagePercentiles } from './latency.ts'
import type { Liveness, PipelineCounters, ScoredEvent } from './pipeline.ts'

/** To the worker. `connection` numbers the connections of a page; messages of an ended one are skipped. */
export type Request =
  | { kind: 'load'; id: number; module: string; limit: number }
  /** The channel is transferred, and the page has no part in its frames. */
  | { kind: 'channel'; connection: number; channel: RTCDataChannel }
  /** Without transferable channels: the frames come as messages, and those to send go back. */
  | { kind: 'relay'; connection: number }
  | { kind: 'frame'; connection: number; data: ArrayBuffer }
  | { kind: 'detach'; connection: number }
  | { kind: 'look'; id: number }
  | { kind: 'stats'; id: number; reset: boolean }
  | { kind: 'trace'; id: number; events: number }
  | { kind: 'time'; id: number }

/** From the worker. Those with an id are responses. */
export type Reply =
  | { kind: 'loaded'; id: number; threshold: number; limit: number }
  | ({ kind: 'look'; id: number } & Look)
  | ({ kind: 'stats'; id: number } & LiveStats)
  | { kind: 'trace'; id: number; events: ScoredEvent[] }
  | { kind: 'time'; id: number; micros: number }
  | { kind: 'failed'; id: number; reason: string }
  | { kind: 'liveness'; connection: number; liveness: Liveness }
  | { kind: 'closed'; connection: number }
  | { kind: 'send'; connection: number; frame: Uint8Array<ArrayBuffer> }

/** What changed since the last look: a column for each property, an entry for each series that changed. */
export interface Look {
  /** Series that are new, whose indexes continue those before. */
  created: { device: string; metric: string }[]
  index: Uint32Array<ArrayBuffer>
  /** µs since 1970 of the source's clock. */
  time: Float64Array<ArrayBuffer>
  value: Float64Array<ArrayBuffer>
  quality: Uint8Array<ArrayBuffer>
  /** NaN where it is not scored. */
  score: Float64Array<ArrayBuffer>
  /** The greatest score since the last look, the event that has it, and all anomalous events so far. */
  peak: Float64Array<ArrayBuffer>
  peakTime: Float64Array<ArrayBuffer>
  peakValue: Float64Array<ArrayBuffer>
  anomalies: Float64Array<ArrayBuffer>
  /** When the gateway's program read the event, by this machine's clock in µs; NaN while the offset is not known. */
  read: Float64Array<ArrayBuffer>
}

export interface LiveStats {
  /** In µs. */
  latency: StagePercentiles
  counters: PipelineCounters
  series: number
  /** Series with a detector. */
  scored: number
  liveness: Liveness
  offset: Offset | undefined
  /** What the last frame that is not valid was rejected for. */
  lastError: string
}
