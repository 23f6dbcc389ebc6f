// The plain page of the live path. Its login is in memory only.

import { Page } from './page.ts'
import type { PastSeries, ScoredEvent } from '../src/live/index.ts'

const page = new Page()

/** For tests and measurements: what is shown, and its numbers. No tokens. */
const live = {
  get state() {
    return page.shown?.state
  },
  /** How many connections to the gateway were made. */
  get connections() {
    return page.shown?.viewer.connections
  },
  get connectionState() {
    return page.shown?.viewer.pc?.connectionState
  },
  get channelInWorker() {
    return page.shown?.feed.transferred
  },
  stats: (reset = false) => page.shown?.feed.stats(reset),
  video: () => page.shown?.meter?.stats(),
  gateway: () => page.shown?.viewer.gatewayStats(),
  trace: (events: number): Promise<ScoredEvent[]> | undefined => page.shown?.feed.trace(events),
  history: (seconds: number, devices: string[] | null): Promise<PastSeries[]> | undefined => page.shown?.viewer.history(seconds, devices),
  subscribe: (devices: string[] | null) => page.shown?.viewer.subscribe(devices),
}

export type Live = typeof live

declare global {
  interface Window {
    live: Live
  }
}

window.live = live
