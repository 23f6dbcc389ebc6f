import { readFileSync } from 'node:fs'
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { heartbeat, liveFrame, type Reading } from '../../test/encode.ts'
import { modulePath } from '../../test/reference.ts'
import { DetectorModule } from '../detector/index.ts'
import { DetectorPool } from './detectors.ts'
import { decodeFrame, encodeClock } from './frames.ts'
import { LivePipeline, type Liveness, type PipelineOptions, type ScoredEvent } from './pipeline.ts'

const offset = 5_000_000 // the gateway's clock is 5 s ahead
let module: WebAssembly.Module
let now = 1e15

beforeAll(async () => {
  module = await WebAssembly.compile(readFileSync(modulePath))
})

beforeEach(() => {
  vi.useFakeTimers()
  now = 1e15
})

afterEach(() => vi.useRealTimers())

/** A pipeline whose requests for the clock are answered after 200 µs each way. */
function pipeline(options: Partial<PipelineOptions> & { limit?: number; silent?: boolean } = {}): LivePipeline {
  const p: LivePipeline = new LivePipeline({
    detectors: new DetectorPool(module, options.limit),
    now: () => now,
    send(frame) {
      const request = decodeFrame(frame)
      if (options.silent === true || request?.kind !== 'clock request') return
      now += 200
      const t1 = now + offset
      now += 200
      p.receive(encodeClock(request.id, request.t0, { t1, t2: t1 }).buffer)
    },
    ...options,
  })
  return p
}

/** Lets time pass, in the timers and on the pipeline's clock. */
function pass(ms: number): void {
  for (let i = 0; i < ms; i += 10) {
    now += 10_000
    vi.advanceTimersByTime(10)
  }
}

const reading = (i: number, value = i, device = 'press-01'): Reading => ({ device, metric: 'temperature', time: 1e15 + i * 1000, value })

describe('the pipeline', () => {
  test('measures each stage with the gateway\'s clock', () => {
    const frames: object[] = []
    const p = pipeline({ onscored: ({ n, sentMicros, receivedMicros, offset }) => frames.push({ n, sentMicros, receivedMicros, offset: offset?.micros }) })
    p.receive(liveFrame(1, now + offset, 100, [reading(1)]))
    expect(p.latency.percentiles().total.count).toBe(0) // the offset is not known yet
    p.start()
    expect(p.offset).toMatchObject({ micros: offset, error: 200 })
    const sent = now
    now += 1500
    p.receive(liveFrame(1, sent + offset, 700, [reading(2), reading(3)]))
    const { gateway, network, total } = p.latency.percentiles()
    expect(gateway).toMatchObject({ count: 2, p50: 700, max: 700 })
    expect(network).toMatchObject({ count: 2, max: 1500 })
    expect(total).toMatchObject({ count: 2, max: 2200 })
    expect(frames.at(-1)).toEqual({ n: 2, sentMicros: sent + offset, receivedMicros: sent + 1500, offset })
    expect(p.series[0]).toMatchObject({ read: sent - 700, events: 3 })
    p.stop()
  })

  test('gives the scores of the detector, bit by bit, of series that come interleaved', () => {
    const events: ScoredEvent[] = []
    const p = pipeline()
    p.onevent = (event) => events.push(event)
    const expected: [number, boolean][] = []
    const instance = new DetectorModule(module)
    const alone = ['a', 'b', 'c'].map(() => instance.detector())
    for (let i = 0; i < 2000; i++) {
      const readings = ['a', 'b', 'c'].map((device, d) => reading(i, Math.sin(i / (5 + d)) + (i === 1500 ? 40 : 0) + (i * 7919 % 13) / 100, device))
      p.receive(liveFrame(i + 1, now + offset, 0, readings))
      for (const [d, r] of readings.entries()) {
        const scores = new Float64Array(1)
        const flags = new Uint8Array(1)
        alone[d]!.push(BigInt64Array.of(BigInt(r.time)), Float64Array.of(r.value), scores, flags)
        expected.push([scores[0]!, flags[0] === 1])
      }
    }
    expect(events.map(({ score, anomalous }) => [score, anomalous])).toEqual(expected)
    expect(expected.filter(([, anomalous]) => anomalous).length).toBeGreaterThan(0)
    expect(p.series.map(({ anomalies }) => anomalies)).toEqual([0, 1, 2].map((d) => expected.filter(([, a], i) => a && i % 3 === d).length))
  })

  test('late events are neither shown nor scored, bad ones are not scored', () => {
    const p = pipeline()
    p.receive(liveFrame(1, now, 0, [reading(5, 50)]))
    p.receive(liveFrame(3, now, 0, [reading(7, 70)]))
    p.receive(liveFrame(2, now, 0, [reading(6, 60)]))
    expect(p.series[0]).toMatchObject({ value: 70, events: 2 })
    p.receive(liveFrame(4, now, 0, [{ ...reading(8, 80), quality: 2 }, reading(9, NaN), reading(9, 90)]))
    expect(p.series[0]).toMatchObject({ value: NaN, score: NaN })
    expect(p.counters).toMatchObject({ late: 2, bad: 2, lost: 0, frames: 4, events: 6 })
  })

  test('counts lost frames, also where the numbers wrap', () => {
    const p = pipeline()
    for (const [i, seq] of [2 ** 32 - 2, 2 ** 32 - 1, 1, 5].entries()) p.receive(liveFrame(seq, now, 0, [reading(i)]))
    expect(p.counters.lost).toBe(1 + 3)
  })

  test('more series than one instance has slots, and than the limit', () => {
    const detectors = new DetectorPool(module, 300)
    const p = pipeline({ detectors })
    const all = Array.from({ length: 320 }, (_, i) => reading(1, i, `m-${i}`))
    p.receive(liveFrame(1, now, 0, all))
    expect(p.series.length).toBe(320)
    expect(p.series.filter(({ detector }) => detector !== undefined).length).toBe(300)
    expect(p.counters.unscored).toBe(20)
    expect({ used: detectors.used, instances: detectors.instances }).toEqual({ used: 300, instances: 2 })
    expect(p.series[319]).toMatchObject({ value: 319, score: NaN })
    expect(p.series[299]).toMatchObject({ score: 0 })
  })

  test('what is not valid is counted, and the next frame is handled', () => {
    const p = pipeline()
    const good = liveFrame(1, now, 0, [reading(1)])
    const damaged = new Uint8Array(good.slice(0))
    damaged[damaged.length - 30]! ^= 0xff
    for (const bytes of [new Uint8Array(0), new Uint8Array(3).fill(1), damaged.subarray(0, 40), new Uint8Array(good).subarray(0, 30)]) {
      p.receive(bytes.slice().buffer)
    }
    const twoAges = new Uint8Array(good.byteLength + 4)
    twoAges.set(new Uint8Array(good).subarray(0, 20))
    twoAges.set(new Uint8Array(good).subarray(20), 24)
    new DataView(twoAges.buffer).setUint32(16, 2, true)
    p.receive(twoAges.buffer)
    expect(p.lastError).toBe('frame: live: 2 ages for 1 events')
    expect(p.counters.invalid).toBe(5)
    p.receive(Uint8Array.of(99, 1, 2).buffer)
    p.receive(good)
    expect(p.counters).toMatchObject({ invalid: 5, skipped: 1, frames: 1, events: 1 })
  })

  test('no bytes do harm: frames that are damaged in any way', () => {
    const p = pipeline()
    let state = Number(process.env['FRAMES_SEED'] ?? 1)
    const random = (n: number) => ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 8) % n
    const examples = [
      liveFrame(1, now, 5, [reading(1), reading(2, 5, 'b')]), heartbeat(1, now), encodeClock(1, 5, { t1: 6, t2: 7 }).buffer, encodeClock(2, 5).buffer,
    ]
    let handled = 0
    for (let i = 0; i < 20_000; i++) {
      const bytes = new Uint8Array(examples[random(examples.length)]!.slice(0))
      for (let n = random(4); n > 0; n--) bytes[random(bytes.length)] = random(256)
      const cut = random(5) === 0 ? bytes.slice(0, random(bytes.length + 1)) : bytes
      p.receive(cut.buffer)
      handled++
    }
    const { frames, heartbeats, invalid, skipped } = p.counters
    expect(invalid).toBeGreaterThan(1000)
    expect(frames).toBeGreaterThan(1000)
    expect(frames + heartbeats + invalid + skipped).toBeLessThanOrEqual(handled)
    for (const series of p.series) expect(Number.isNaN(series.score) || (series.score >= 0 && series.score <= 1)).toBe(true)
    const before = p.counters.events
    p.receive(liveFrame(9, now, 0, [reading(1e9, 1, 'after')]))
    expect(p.counters.events).toBe(before + 1)
  })

  test('says when the gateway is silent: stale after 1.5 s, lost after 3 s, live with the next frame', () => {
    const seen: Liveness[] = []
    const p = pipeline({ silent: true, onliveness: (l) => seen.push(l) })
    p.start()
    pass(5000)
    expect(p.liveness).toBe('waiting')
    for (let i = 0; i < 8; i++) {
      p.receive(heartbeat(i, now))
      pass(500)
    }
    expect(p.liveness).toBe('live')
    pass(1100)
    expect(p.liveness).toBe('stale')
    pass(1500)
    expect(p.liveness).toBe('lost')
    p.receive(heartbeat(9, now))
    expect(seen).toEqual(['live', 'stale', 'lost', 'live'])
    p.stop()
    expect(vi.getTimerCount()).toBe(0)
  })

  test('asks for the clock ten times quickly and then each second, once the channel is open', () => {
    let open = false
    const asked: number[] = []
    const p = pipeline({
      send(frame) {
        if (!open) throw new Error('not open')
        asked.push(decodeFrame(frame)?.kind === 'clock request' ? now : NaN)
      },
    })
    p.start()
    pass(2000)
    open = true
    const opened = now
    pass(4600)
    p.stop()
    expect(asked.filter((at) => at - opened <= 520_000).length).toBe(10)
    expect(asked.length).toBe(14)
    pass(5000)
    expect(asked.length).toBe(14)
  })

  test('answers the gateway\'s questions for our clock', () => {
    const sent: Uint8Array[] = []
    const p = pipeline({ send: (frame) => sent.push(frame) })
    p.receive(encodeClock(9, 1234).buffer)
    expect(decodeFrame(sent[0]!)).toEqual({ kind: 'clock response', id: 9, t0: 1234, t1: now, t2: now })
  })

  test('a new connection forgets the clock and the numbers of frames, not the detectors', () => {
    const p = pipeline()
    p.start()
    p.receive(liveFrame(50, now, 0, [reading(1)]))
    const { detector } = p.series[0]!
    p.start()
    p.receive(liveFrame(1, now, 0, [reading(2)]))
    expect(p.counters.lost).toBe(0)
    expect(p.series.length).toBe(1)
    expect(p.series[0]!.detector).toBe(detector)
    p.stop()
  })
})
