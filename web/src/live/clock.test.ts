import { describe, expect, test } from 'vitest'
import { ClockEstimator } from './clock.ts'

/** A remote clock that is offset ahead at 0 and runs drift ppm faster. */
function exchange(clock: ClockEstimator, now: number, offset: number, there: number, back: number, drift = 0): boolean {
  const remote = (t: number) => t + offset + (t * drift) / 1e6
  return clock.add(now, remote(now + there), remote(now + there + 20), now + there + 20 + back)
}

let state = 7
const random = () => ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 8) / 2 ** 24

describe('the other clock', () => {
  test('is unknown before the first exchange', () => {
    expect(new ClockEstimator().at(0)).toBeUndefined()
  })

  test('is known exactly from an even path, and within the error from an uneven one', () => {
    const even = new ClockEstimator()
    exchange(even, 1e6, 5_000_000, 300, 300)
    expect(even.at(1e6 + 620)).toMatchObject({ micros: 5_000_000, error: 300, roundTrip: 600 })
    const uneven = new ClockEstimator()
    exchange(uneven, 1e6, -70_000, 0, 10_000)
    const { micros, error } = uneven.at(1e6 + 10_020)!
    expect(Math.abs(micros + 70_000)).toBeLessThanOrEqual(error)
    expect(error).toBe(5000)
  })

  test('the shortest round trip of the window decides', () => {
    const clock = new ClockEstimator()
    exchange(clock, 0, 1000, 200, 200)
    for (let i = 1; i < 20; i++) exchange(clock, i * 1e6, 1000, 200 + i * 500, 200)
    expect(clock.at(20e6)).toMatchObject({ micros: 1000, roundTrip: 400 })
    // 40 s later it is out of the window.
    for (let i = 21; i < 55; i++) exchange(clock, i * 1e6, 1000, 5000, 5000)
    expect(clock.at(55e6)!.roundTrip).toBe(10_000)
  })

  test('an old sample loses to a worse new one once the clocks may have run apart', () => {
    const clock = new ClockEstimator({ wanderPpm: 50 })
    exchange(clock, 0, 0, 100, 100)
    exchange(clock, 20e6, 0, 300, 300)
    expect(clock.at(20e6 + 1000)!.roundTrip).toBe(600) // 100 + 1000 of wander against 300
  })

  test('holds within its error over an hour of drift and jitter, and measures the drift', () => {
    const clock = new ClockEstimator()
    const drift = 20 // ppm: 72 ms an hour
    let worst = 0
    for (let s = 0; s < 3600; s++) {
      const now = s * 1e6
      const jitter = () => 150 + (random() < 0.2 ? random() * 30_000 : random() * 400)
      exchange(clock, now, 1_000_000, jitter(), jitter(), drift)
      const at = now + 60_000
      const { micros, error } = clock.at(at)!
      const truth = 1_000_000 + (at * drift) / 1e6
      expect(Math.abs(micros - truth)).toBeLessThanOrEqual(error + 1)
      worst = Math.max(worst, error)
    }
    expect(worst).toBeLessThan(20_000)
    expect(clock.at(3600e6)!.driftPpm).toBeCloseTo(drift, 0)
  })

  test('times that contradict each other are not used', () => {
    const clock = new ClockEstimator()
    expect(clock.add(10, 5, 4, 20)).toBe(false) // sent before it was received
    expect(clock.add(20, 5, 6, 10)).toBe(false) // back before it was sent
    expect(clock.add(10, 0, 100, 20)).toBe(false) // longer there than away
    expect(clock.add(NaN, 0, 1, 20)).toBe(false)
    expect(clock.at(20)).toBeUndefined()
  })
})
