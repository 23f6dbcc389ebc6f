import { describe, expect, test } from 'vitest'
import { Histogram } from './histogram.ts'

describe('histogram', () => {
  test('is exact up to 128 and within 0.8 % above', () => {
    const values: number[] = []
    const h = new Histogram()
    let state = 3
    for (let i = 0; i < 20_000; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      const value = Math.floor(2 ** ((state / 2 ** 32) * 36))
      values.push(value)
      h.record(value)
    }
    values.sort((a, b) => a - b)
    for (const p of [0.1, 1, 10, 25, 50, 75, 95, 99, 99.9, 100]) {
      const want = values[Math.ceil((p / 100) * values.length) - 1]!
      const have = h.percentile(p)
      expect(have).toBeGreaterThanOrEqual(want)
      expect(have).toBeLessThanOrEqual(want < 128 ? want : want * 1.008)
    }
    expect(h.percentiles()).toMatchObject({ count: 20_000, max: values.at(-1) })
  })

  test('of one value is that value', () => {
    for (const value of [0, 1, 127, 128, 129, 255, 256, 1e6, 2 ** 36]) {
      const h = new Histogram()
      h.record(value)
      expect(h.percentiles()).toEqual({ count: 1, p50: value, p95: value, p99: value, max: value })
    }
  })

  test('of nothing, of negative values and NaN, after a reset', () => {
    const h = new Histogram()
    expect(h.percentiles()).toEqual({ count: 0, p50: 0, p95: 0, p99: 0, max: 0 })
    h.record(-5)
    h.record(NaN)
    h.record(2 ** 60)
    expect(h.percentiles()).toMatchObject({ count: 3, p50: 0, max: 2 ** 60 })
    h.reset()
    expect(h.percentiles()).toEqual({ count: 0, p50: 0, p95: 0, p99: 0, max: 0 })
  })

  test('merges', () => {
    const a = new Histogram()
    const b = new Histogram()
    a.record(10, 99)
    b.record(1000)
    a.merge(b)
    expect(a.percentiles()).toMatchObject({ count: 100, p50: 10, p99: 10, max: 1000 })
  })
})
