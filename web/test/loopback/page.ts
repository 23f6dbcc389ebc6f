// A gateway that is another peer connection of the same page, to test the feed and its worker alone.

import { LiveFeed, nowMicros, type Liveness } from '../../src/live/index.ts'
import { channels, decodeFrame, encodeClock } from '../../src/live/frames.ts'
import { heartbeat, liveFrame, type Reading } from '../encode.ts'

const clockAhead = 3_000_000 // µs

const feed = LiveFeed.start(new URL('detector.wasm', document.baseURI))
const liveness: Liveness[] = []
feed.onliveness = (_, l) => void liveness.push(l)

class Gateway {
  readonly #pc = new RTCPeerConnection()
  readonly #viewer: RTCPeerConnection
  readonly #open: Promise<void>
  #channel!: RTCDataChannel
  #timer: ReturnType<typeof setInterval> | undefined
  readonly connection: number
  #seq = 0

  constructor() {
    const viewer = new RTCPeerConnection()
    this.#viewer = viewer
    this.#pc.onicecandidate = ({ candidate }) => void (candidate && viewer.addIceCandidate(candidate))
    viewer.onicecandidate = ({ candidate }) => void (candidate && this.#pc.addIceCandidate(candidate))
    this.#open = new Promise((resolve) => {
      this.#pc.ondatachannel = ({ channel }) => {
        if (channel.label !== channels.live.label || channel.ordered || channel.maxRetransmits !== 0) throw new Error('not the live channel')
        this.#channel = channel
        channel.binaryType = 'arraybuffer'
        channel.onmessage = ({ data }: MessageEvent<ArrayBuffer>) => this.#respond(data)
        if (channel.readyState === 'open') resolve()
        else channel.onopen = () => resolve()
      }
    })
    this.connection = feed.attach(viewer)
  }

  #respond(data: ArrayBuffer): void {
    const t1 = nowMicros() + clockAhead
    const request = decodeFrame(new Uint8Array(data))
    if (request?.kind === 'clock request') this.#channel.send(encodeClock(request.id, request.t0, { t1, t2: nowMicros() + clockAhead }))
  }

  async connect(): Promise<void> {
    await this.#viewer.setLocalDescription()
    await this.#pc.setRemoteDescription(this.#viewer.localDescription!)
    await this.#pc.setLocalDescription()
    await this.#viewer.setRemoteDescription(this.#pc.localDescription!)
    await this.#open
    this.#timer = setInterval(() => this.beat(), 500)
  }

  send(readings: Reading[], age = 500): void {
    this.#channel.send(liveFrame(++this.#seq, Math.round(nowMicros()) + clockAhead, age, readings))
  }

  garbage(): void {
    this.#channel.send(new Uint8Array([1, 2, 3]))
    this.#channel.send('a text')
  }

  beat(): void {
    this.#channel.send(heartbeat(1, Math.round(nowMicros()) + clockAhead))
  }

  close(): void {
    clearInterval(this.#timer)
    this.#pc.close()
    this.#viewer.close()
  }
}

const readings = (from: number, n: number): Reading[] => Array.from({ length: n }, (_, i) => ({
  device: `m-${i % 8}`, metric: 'temperature', time: 1e15 + (from + Math.floor(i / 8)) * 1000, value: Math.sin((from + i) / 9) + (i % 7) / 10,
}))

async function until<T>(f: () => Promise<T | undefined | false>): Promise<T> {
  for (;;) {
    const value = await f()
    if (value !== undefined && value !== false) return value
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

let gateway: Gateway | undefined

const page = {
  liveness,
  transferred: () => feed.transferred,

  /** What happens when a channel is given to a worker later than right after it was made. */
  async late(): Promise<string> {
    const pc = new RTCPeerConnection()
    const channel = pc.createDataChannel('late', { negotiated: true, id: 5 })
    await new Promise((resolve) => setTimeout(resolve, 100))
    const { port1 } = new MessageChannel()
    try {
      port1.postMessage(channel, [channel as unknown as Transferable])
      return 'transferred'
    } catch (cause) {
      return (cause as DOMException).name
    } finally {
      pc.close()
    }
  },
  stats: (reset = false) => feed.stats(reset),

  /** Connects a new gateway, after which the clock is known. */
  async connect(): Promise<{ error: number; micros: number }> {
    gateway = new Gateway()
    await feed.ready()
    await gateway.connect()
    gateway.beat()
    return until(async () => (await feed.stats()).offset)
  },

  /** Sends frames and returns how many of their events were scored, and what a look says. */
  async send(frames: number, events: number): Promise<{ events: number; lost: number; names: string[]; values: number[]; drawn: number }> {
    const before = (await feed.stats()).counters
    for (let i = 0; i < frames; i++) {
      gateway!.send(readings(i * events, events))
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    const counters = await until(async () => {
      const c = (await feed.stats()).counters
      return c.frames + c.lost - before.frames - before.lost >= frames && c
    })
    const look = await feed.look()
    feed.drawn(look)
    const again = await feed.look()
    if (again.index.length + again.created.length > 0) throw new Error('a second look shows the same changes')
    const stats = await feed.stats()
    return {
      events: counters.events - before.events, lost: counters.lost - before.lost,
      names: look.created.map(({ device, metric }) => `${device}/${metric}`), values: [...look.value], drawn: stats.drawn.count,
    }
  },

  /** Keeps the main thread busy while frames that were handed over before arrive, and returns their network and scoring time. */
  async busy(millis: number): Promise<{ total: number; scored: number }> {
    await feed.stats(true)
    const before = (await feed.stats()).counters.events
    gateway!.send(readings(1_000_000, 8), 0)
    const end = performance.now() + millis
    while (performance.now() < end) {
      // nothing
    }
    const stats = await until(async () => {
      const s = await feed.stats()
      return s.counters.events > before && s
    })
    return { total: stats.latency.total.max, scored: stats.counters.events - before }
  },

  async garbage(): Promise<{ invalid: number; lastError: string }> {
    gateway!.garbage()
    const { counters, lastError } = await until(async () => {
      const s = await feed.stats()
      return s.counters.invalid >= 2 && s
    })
    return { invalid: counters.invalid, lastError }
  },

  /** Ends the connection. */
  end(): void {
    gateway!.close()
  },

  detach(): void {
    feed.detach(gateway!.connection)
  },

  until: async (l: Liveness) => void (await until(async () => liveness.at(-1) === l)),

  async closed(): Promise<string[]> {
    feed.close()
    return Promise.all([feed.look(), feed.stats(), feed.trace(1)].map((p: Promise<unknown>) => p.then(() => 'resolved', (cause: Error) => cause.message)))
  },
}

export type Loopback = typeof page

declare global {
  interface Window {
    loopback: Loopback
  }
}

window.loopback = page
