import type { Counts } from './counts.ts'

/** From the page to its worker. */
export type ToWorker =
  | { kind: 'channel'; channel: RTCDataChannel }
  | { kind: 'relay'; url: string }
  | { kind: 'reset' }
  | { kind: 'report' }
  | { kind: 'drawn'; micros: number[] }
  | { kind: 'stop' }

/** The stages of an event, each from the one before; total is from read to scored. */
export interface Stages {
  gateway: Counts
  network: Counts
  scoring: Counts
  total: Counts
  /** From scored to the frame of the screen in which a page would draw it. */
  drawing: Counts
}

/** A minute of a long run. */
export interface Minute {
  events: number
  /** In µs. */
  p50: number
  p99: number
  /** The gateway's clock minus the browser's, and its error, in µs. */
  offset: number
  error: number
}

export interface Report {
  stages: Stages
  minutes: Minute[]
  frames: number
  events: number
  lost: number
  invalid: number
  late: number
  unscored: number
  /** The longest time without a live frame, in µs, up to now. */
  gap: number
  /** Of the clock, in µs. */
  offset: number
  error: number
  roundTrip: number
  lastError: string
}

/** From the worker to the page. scoredAt is the time of the worker's clock, in µs since 1970, of each live frame. */
export type FromWorker =
  | { kind: 'ready' }
  | { kind: 'first' }
  | { kind: 'scored'; micros: number }
  | { kind: 'liveness'; liveness: string; micros: number }
  | { kind: 'report'; report: Report }
  | { kind: 'failed'; reason: string }
