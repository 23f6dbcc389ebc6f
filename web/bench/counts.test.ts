import { expect, test } from 'vitest'
import { Counter } from './counts.ts'

test('counts in cells of 10 µs, below zero too, with the exact extremes', () => {
  const counter = new Counter()
  for (const micros of [0, 9.9, 10, 1234.5, -3, 1234.5]) counter.add(micros)
  expect(counter.counts()).toEqual({ cells: [[-1, 1], [0, 2], [1, 1], [123, 2]], min: -3, max: 1234.5 })
  expect(counter.count).toBe(6)
  expect(counter.quantile(0.5)).toBe(10)
  expect(counter.quantile(1)).toBe(1240)
})

test('has what is out of range in the outermost cells, and nothing after a reset', () => {
  const counter = new Counter()
  counter.add(-1e9)
  counter.add(1e9)
  expect(counter.counts()).toEqual({ cells: [[-5000, 1], [999_999, 1]], min: -1e9, max: 1e9 })
  counter.reset()
  expect(counter.counts()).toEqual({ cells: [], min: 0, max: 0 })
  expect(counter.quantile(0.5)).toBeNaN()
  counter.add(5)
  expect(counter.counts().cells).toEqual([[0, 1]])
})
