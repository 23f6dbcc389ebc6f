import { readFileSync } from 'node:fs'
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { heartbeat, liveFrame } from '../../test/encode.ts'
import { modulePath } from '../../test/reference.ts'
import { DetectorPool } from './detectors.ts'
import { encodeClock, decodeFrame } from './frames.ts'
import { LiveFeed, type WorkerPort } from './feed.ts'
import type { Reply, Request } from './messages.ts'
import { LiveSession } from './session.ts'

let module: WebAssembly.Module

beforeAll(async () => {
  module = await WebAssembly.compile(readFileSync(modulePath))
})

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'setInterval', 'clearTimeout', 'clearInterval'] }))
afterEach(() => void vi.useRealTimers())

/** A worker whose session runs here; loading waits for load(). */
function world() {
  let load!: (pool: DetectorPool) => void
  const loading = new Promise<DetectorPool>((resolve) => (load = resolve))
  const sent: Reply[] = []
  const port: WorkerPort = {
    onmessage: null, onerror: null,
    postMessage: (message) => void session.handle(message),
    terminate: () => {},
  }
  const session: LiveSession = new LiveSession({
    postMessage: (reply) => {
      sent.push(reply)
      queueMicrotask(() => port.onmessage?.({ data: reply } as MessageEvent<Reply>))
    },
  }, () => loading)
  const feed = new LiveFeed(port, 'http://localhost/detector.wasm')
  return { session, feed, sent, port, load: () => load(new DetectorPool(module)) }
}

/** The page's side of a channel that cannot be transferred. */
class Channel {
  readyState = 'open'
  binaryType = ''
  onmessage: ((event: { data: unknown }) => void) | null = null
  sent: Uint8Array[] = []
  send(frame: Uint8Array): void {
    this.sent.push(frame)
  }
}

const reading = (i: number, value = i) => ({ device: 'a', metric: 'm', time: 1e15 + i, value })

describe('the feed and its session', () => {
  test('without transferable channels frames pass through the page', async () => {
    const { feed, load, port } = world()
    const post = port.postMessage
    port.postMessage = (message: Request, transfer) => {
      if (message.kind === 'channel') throw new DOMException('not transferable', 'DataCloneError')
      post(message, transfer)
    }
    const channel = new Channel()
    const connection = feed.attach({ createDataChannel: () => channel } as unknown as RTCPeerConnection)
    const liveness: string[] = []
    feed.onliveness = (n, l) => liveness.push(`${n} ${l}`)
    expect(feed.transferred).toBe(false)
    load()
    await feed.ready()
    vi.advanceTimersByTime(60)
    await vi.waitFor(() => expect(channel.sent.length).toBeGreaterThan(0))
    const request = decodeFrame(channel.sent[0]!)
    expect(request).toMatchObject({ kind: 'clock request' })
    const t = request?.kind === 'clock request' ? request.t0 : 0
    channel.onmessage!({ data: encodeClock(1, t, { t1: t, t2: t }).buffer })
    channel.onmessage!({ data: liveFrame(1, t, 100, [reading(1, 5)]) })
    channel.onmessage!({ data: 'a text' })
    const look = await feed.look()
    expect(look.created).toEqual([{ device: 'a', metric: 'm' }])
    expect([...look.value]).toEqual([5])
    expect(liveness).toEqual(['0 live'])
    expect((await feed.stats()).latency.total.count).toBe(1)
    feed.detach(connection)
    channel.onmessage!({ data: liveFrame(2, t, 100, [reading(2)]) })
    expect((await feed.stats()).counters.frames).toBe(1)
    feed.close()
  })

  test('a trace that was asked for before the detector is there begins with the first event', async () => {
    const { feed, session, load } = world()
    const traced = feed.trace(3)
    await expect(feed.trace(1)).rejects.toThrow('one trace at a time')
    await expect(feed.stats()).rejects.toThrow('the detector is not loaded')
    await session.handle({ kind: 'relay', connection: 0 })
    load()
    await feed.ready()
    await session.handle({ kind: 'frame', connection: 0, data: liveFrame(1, 1, 0, [reading(1), reading(2)]) })
    await session.handle({ kind: 'frame', connection: 1, data: liveFrame(1, 1, 0, [reading(9)]) }) // of no connection
    await session.handle({ kind: 'frame', connection: 0, data: liveFrame(2, 1, 0, [reading(3), reading(4)]) })
    expect((await traced).map(({ time }) => time)).toEqual([1n, 2n, 3n].map((i) => 10n ** 15n + i))
    for (const n of [0, -1, NaN, 2e6]) await expect(feed.trace(n)).rejects.toThrow('want 1 to 1000000')
    feed.close()
  })

  test('a module that cannot be loaded is said to whoever asks', async () => {
    const port: WorkerPort = { onmessage: null, onerror: null, postMessage: (m) => void session.handle(m), terminate: () => {} }
    const session: LiveSession = new LiveSession({ postMessage: (reply) => queueMicrotask(() => port.onmessage?.({ data: reply } as MessageEvent<Reply>)) },
      () => Promise.reject(new Error('http://localhost/detector.wasm: 404 Not Found')))
    const feed = new LiveFeed(port, 'http://localhost/detector.wasm')
    await expect(feed.ready()).rejects.toThrow('404 Not Found')
    await expect(feed.stats()).rejects.toThrow('the detector is not loaded')
    // Frames do no harm.
    await session.handle({ kind: 'relay', connection: 0 })
    await session.handle({ kind: 'frame', connection: 0, data: heartbeat(1, 1) })
    expect((await feed.look()).index.length).toBe(0)
    feed.close()
  })

  test('a worker that fails rejects what is open and what comes', async () => {
    const { feed, port } = world()
    const open = feed.look()
    const failing = expect(feed.ready()).rejects.toThrow('the worker of the live path failed: out of memory')
    port.onerror!({ message: 'out of memory' } as ErrorEvent)
    await open.then(() => {}, () => {})
    await failing
    await expect(feed.stats()).rejects.toMatchObject({ code: 'closed' })
  })

  test('peaks between two looks are not missed', async () => {
    const { feed, session, load } = world()
    load()
    await feed.ready()
    await session.handle({ kind: 'relay', connection: 0 })
    for (let i = 0; i < 400; i++) {
      await session.handle({ kind: 'frame', connection: 0, data: liveFrame(i + 1, 1, 0, [reading(i, (i * 7919) % 13 + (i === 390 ? 500 : 0))]) })
    }
    const look = await feed.look()
    const { threshold } = await feed.ready()
    expect(look.score[0]!).toBeLessThan(threshold)
    expect(look.peak[0]!).toBeGreaterThanOrEqual(threshold)
    expect(look.anomalies[0]).toBe(1)
    expect([look.peakTime[0], look.peakValue[0]]).toEqual([1e15 + 390, ((390 * 7919) % 13) + 500])
    expect((await feed.look()).index.length).toBe(0)
    await session.handle({ kind: 'frame', connection: 0, data: liveFrame(401, 1, 0, [reading(400, 5)]) })
    expect((await feed.look()).peak[0]!).toBeLessThan(threshold)
    feed.close()
  })
})
