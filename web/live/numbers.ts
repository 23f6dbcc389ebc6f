import { element, row, setText } from './dom.ts'
import { selectedPath, type LiveFeed, type LiveViewer, type Percentiles, type VideoMeter } from '../src/live/index.ts'

const stages = [
  ['read → sent', 'gateway'], ['sent → received', 'network'], ['received → scored', 'scoring'], ['read → scored', 'total'], ['read → drawn', 'drawn'],
] as const

/** The table of latencies and the notes on clock, connection and video, once a second. */
export class Numbers {
  readonly #feed: LiveFeed
  readonly #viewer: LiveViewer
  readonly #video: () => VideoMeter | undefined
  readonly #cells = new Map<string, Text[]>()
  readonly #timer: ReturnType<typeof setInterval>
  /** The gateway's clock minus ours, in µs. */
  offset: number | undefined

  constructor(feed: LiveFeed, viewer: LiveViewer, video: () => VideoMeter | undefined) {
    this.#feed = feed
    this.#viewer = viewer
    this.#video = video
    const body = element('latency', 'tbody')
    body.replaceChildren()
    for (const [title, stage] of stages) {
      const cells = ['–', '–', '–', '–'].map((text) => document.createTextNode(text))
      this.#cells.set(stage, cells)
      body.append(row([title, ...cells], [1, 2, 3, 4]))
    }
    this.#timer = setInterval(() => void this.#show(), 1000)
  }

  close(): void {
    clearInterval(this.#timer)
  }

  async #show(): Promise<void> {
    try {
      const { latency, drawn, offset, counters, series, scored } = await this.#feed.stats()
      this.offset = offset?.micros
      const all: Record<string, Percentiles> = { ...latency, drawn }
      for (const [, stage] of stages) {
        const p = all[stage]!
        const cells = this.#cells.get(stage)!
        for (const [i, value] of [p.p50, p.p95, p.p99, p.max].entries()) setText(cells[i]!, p.count === 0 ? '–' : millis(value))
      }
      setText(element('latency-note', 'p'), offset === undefined
        ? 'The gateway\'s clock is not known yet.'
        : `Of ${latency.total.count} events. The gateway's clock is ${millis(offset.micros)} ahead, ± ${millis(offset.error)}, which is also the error of sent → received and of the two sums.`)
      const lost = counters.frames + counters.lost === 0 ? 0 : (100 * counters.lost) / (counters.frames + counters.lost)
      const path = await selectedPath(this.#viewer.pc)
      setText(element('connection-note', 'p'),
        `Connection: ${path === undefined ? 'none' : `${path.local} ↔ ${path.remote}, ${path.protocol}${path.relay ? ', relayed' : ', direct'}`}. ` +
        `${counters.frames} frames, ${lost.toFixed(1)} % lost on the way, ${counters.late} late events, ${counters.invalid} frames that were not valid.`)
      const unscored = element('unscored', 'p')
      unscored.hidden = series <= scored
      setText(unscored, `${series - scored} of ${series} series are shown without a score: at most ${scored} are scored at a time.`)
      this.#showVideo()
    } catch {
      // The worker has ended; the page says so.
    }
  }

  #showVideo(): void {
    const meter = this.#video()
    if (meter === undefined) return
    const { frames, coded, latency } = meter.stats()
    setText(element('video-note', 'p'), coded === 0
      ? `${frames} pictures`
      : `${frames} pictures; made in the gateway → shown: ${millis(latency.p50)} (p50), ${millis(latency.p99)} (p99), by the time code in the picture.`)
  }
}

export function millis(micros: number): string {
  const ms = micros / 1000
  return `${Math.abs(ms) >= 100 ? ms.toFixed(0) : ms.toFixed(Math.abs(ms) >= 10 ? 1 : 2)} ms`
}
