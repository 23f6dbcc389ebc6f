import type { DetectorErrorCode } from './error.ts'
import type { Times } from './detector.ts'

/** A request of the page. The worker sends one reply with its id; arrays are transferred. */
export type Request =
  | { kind: 'load'; id: number; module: string }
  | { kind: 'score'; id: number; series: string; sensors: number; times: Times; values: Float64Array<ArrayBuffer> }
  | { kind: 'save'; id: number; series: string }
  | { kind: 'restore'; id: number; series: string; sensors: number; state: Uint8Array<ArrayBuffer> }
  | { kind: 'forget'; id: number; series: string }
  | { kind: 'counters'; id: number }
  | { kind: 'bench'; id: number; samples: number }

export type Reply =
  | { kind: 'loaded'; id: number; threshold: number; slots: number; machines: number; maxSensors: number }
  | ({ kind: 'scored'; id: number } & Scored)
  | { kind: 'saved'; id: number; state: Uint8Array<ArrayBuffer>; hash: bigint }
  | { kind: 'done'; id: number }
  | { kind: 'counters'; id: number; counters: Counters }
  | { kind: 'benched'; id: number; samples: number; anomalies: number; seconds: number }
  | { kind: 'failed'; id: number; code: DetectorErrorCode; reason: string }

/** A scored block. times and values are the arrays of the request, transferred to the worker and back. */
export interface Scored {
  series: string
  times: Times
  values: Float64Array<ArrayBuffer>
  /** In [0,1], one for each time. */
  scores: Float64Array<ArrayBuffer>
  /** 1 where the sample is anomalous. */
  flags: Uint8Array<ArrayBuffer>
  /** The number of flags. */
  anomalies: number
}

/** The counters of the worker since it started. */
export interface Counters {
  /** Series and machines that have a detector. */
  series: number
  blocks: number
  samples: number
  anomalies: number
  /** Requests that failed. */
  failures: number
  /** The time spent scoring. */
  busySeconds: number
  /** Over the last full second, or over a longer time without requests. */
  samplesPerSecond: number
}
