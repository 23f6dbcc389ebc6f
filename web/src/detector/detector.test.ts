import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, test } from 'vitest'
import { digest } from '../../test/digest.ts'
import { modulePath, reference } from '../../test/reference.ts'
import { DetectorError, DetectorModule, type Detector } from './index.ts'

let wasm: Buffer<ArrayBuffer>
let module: DetectorModule

beforeAll(() => {
  wasm = readFileSync(modulePath)
})

const fresh = async () => (module = await DetectorModule.load(wasm))

/** Pushes everything at once and returns what came out. */
function score(detector: Detector, times: BigInt64Array | Float64Array, values: Float64Array) {
  const scores = new Float64Array(times.length)
  const flags = new Uint8Array(times.length)
  const anomalies = detector.push(times, values, scores, flags)
  return { scores, flags, anomalies }
}

function wave(samples: number): { times: BigInt64Array<ArrayBuffer>; values: Float64Array<ArrayBuffer> } {
  const times = BigInt64Array.from({ length: samples }, (_, i) => 1_700_000_000_000_000n + BigInt(i) * 1_000_000n)
  const values = Float64Array.from({ length: samples }, (_, i) => (i * 7919) % 101)
  return { times, values }
}

function code(f: () => unknown): string {
  try {
    f()
  } catch (cause) {
    if (cause instanceof DetectorError) return cause.code
    throw cause
  }
  return 'none'
}

describe('Detector', () => {
  test('gives the scores and states of native Go', async () => {
    await fresh()
    const native = reference()
    const got: string[] = []
    for (const s of native.series) {
      const detector = s.sensors === 1 ? module.detector() : module.machine(s.sensors)
      got.push(...await digest(s.name, s.sensors, s.times, s.values, {
        score: async (t, v) => score(detector, t, v),
        save: async () => ({ state: detector.save(), hash: detector.hash() }),
      }))
      detector.free()
    }
    expect(got).toEqual(native.digest)
  })

  test('does not care how samples are cut into blocks', async () => {
    await fresh()
    const { times, values } = wave(10_000)
    const whole = module.detector()
    const all = score(whole, times, values)
    const cut = module.detector()
    for (let at = 0, n = 1; at < times.length; at += n, n = n * 3 + 1) {
      score(cut, times.subarray(at, at + n), values.subarray(at, at + n))
    }
    expect(cut.hash()).toBe(whole.hash())
    expect(all.anomalies).toBe(all.flags.reduce((a, b) => a + b, 0))
  })

  test('takes times as numbers', async () => {
    await fresh()
    const { times, values } = wave(3000)
    times[5] = -62_135_596_800_000_000n // the year 1: negative
    const numbers = Float64Array.from(times, Number)
    const [a, b] = [module.machine(1), module.machine(1)]
    expect(score(b, numbers, values)).toEqual(score(a, times, values))
    expect(b.hash()).toBe(a.hash())
  })

  test('moves by its saved state', async () => {
    await fresh()
    const { times, values } = wave(4000)
    const a = module.detector()
    score(a, times.subarray(0, 1500), values.subarray(0, 1500))
    const state = a.save()
    const rest = score(a, times.subarray(1500), values.subarray(1500))

    const b = (await DetectorModule.load(wasm)).detector()
    b.restore(state)
    expect(score(b, times.subarray(1500), values.subarray(1500))).toEqual(rest)
    expect(b.hash()).toBe(a.hash())
  })

  test('rejects a state that no detector saved, and does not change', async () => {
    await fresh()
    const { times, values } = wave(1000)
    const detector = module.detector()
    score(detector, times, values)
    const before = detector.hash()
    const state = detector.save()
    state[20]! ^= 1
    for (const bad of [state, new Uint8Array(0), new Uint8Array(100), new Uint8Array(100_000)]) {
      expect(code(() => detector.restore(bad))).toBe('state')
    }
    expect(() => detector.restore(state)).toThrow('checksum')
    expect(detector.hash()).toBe(before)
    // However often: the module's memory does not grow.
    const bytes = module.memoryBytes
    for (let i = 0; i < 10_000; i++) code(() => detector.restore(state))
    expect(module.memoryBytes).toBe(bytes)
  })

  test('has room for so many series and no more', async () => {
    await fresh()
    const all = Array.from({ length: module.slots }, () => module.detector())
    expect(code(() => module.detector())).toBe('full')
    const { times, values } = wave(500)
    score(all[7]!, times, values)
    const empty = all[8]!.hash()
    expect(all[7]!.hash()).not.toBe(empty)
    all[7]!.free()
    expect(code(() => all[7]!.hash())).toBe('unknown')
    // The next detector in the slot has an empty state.
    expect(module.detector().hash()).toBe(empty)

    for (let i = 0; i < module.machines; i++) module.machine(2)
    expect(code(() => module.machine(2))).toBe('full')
  })

  test('rejects arrays of different lengths', async () => {
    await fresh()
    const detector = module.detector()
    const of = (n: number) => new Float64Array(n)
    expect(code(() => detector.push(of(2), of(3), of(3), new Uint8Array(3)))).toBe('arguments')
    expect(code(() => detector.push(of(3), of(3), of(2), new Uint8Array(3)))).toBe('arguments')
    expect(code(() => detector.push(of(3), of(3), of(3), new Uint8Array(2)))).toBe('arguments')
    expect(detector.push(of(0), of(0), of(0), new Uint8Array(0))).toBe(0)
    for (const sensors of [0, -1, 1.5, NaN, module.maxSensors + 1]) {
      expect(code(() => module.machine(sensors))).toBe('arguments')
    }
  })
})

describe('DetectorModule.load', () => {
  const failure = (source: BufferSource | Response) => DetectorModule.load(source).then(
    () => 'loaded',
    (cause: unknown) => (cause instanceof DetectorError ? `${cause.code}: ${cause.message}` : String(cause)),
  )

  test('takes a response', async () => {
    expect(await failure(new Response(wasm))).toBe('loaded')
    expect(await failure(new Response('gone', { status: 410, statusText: 'Gone' }))).toMatch(/^load: .*410 Gone/)
  })

  test('rejects a module that is not the detector', async () => {
    expect(await failure(new Uint8Array([1, 2, 3]))).toMatch(/^load: /)
    // The empty module: magic number and version.
    expect(await failure(new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]))).toMatch(/^abi: .*exports no abi/)
    // One that exports a function abi which returns 99.
    const other = [
      0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 5, 1, 0x60, 0, 1, 0x7f, 3, 2, 1, 0, 7, 7, 1, 3, 0x61, 0x62, 0x69, 0, 0,
      10, 7, 1, 5, 0, 0x41, 0xe3, 0, 0x0b,
    ]
    expect(await failure(new Uint8Array(other))).toMatch(/^abi: the module has ABI version 99/)
  })
})
