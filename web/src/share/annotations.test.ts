import { expect, test } from 'vitest'
import { Bucket } from '../rtc/bucket.ts'
import { Board, boardLimits, placed, pointAt } from './annotations.ts'

test('a stroke goes on with its id, each author has ids of his own', () => {
  const board = new Board()
  board.draw('me', 1, '#ff0000', [[0, 0]])
  board.draw('them', 1, '#00ff00', [[1, 1]])
  board.draw('me', 1, '#ff0000', [[0.5, 0.5]])
  expect(board.strokes).toEqual([
    { id: 1, author: 'me', color: '#ff0000', points: [[0, 0], [0.5, 0.5]] }, { id: 1, author: 'them', color: '#00ff00', points: [[1, 1]] },
  ])
  board.clear()
  expect(board.strokes).toEqual([])
})

test('is bounded in strokes and points', () => {
  const board = new Board()
  for (let i = 0; i < 2000; i++) board.draw('them', i, '#000000', [[0, 0]])
  expect([board.strokes.length, board.strokes.at(-1)!.id]).toEqual([boardLimits.strokes, 1999])
  for (let i = 0; i < 200; i++) board.draw('them', 5000, '#000000', Array.from({ length: 512 }, () => [0, 0]))
  expect(board.strokes.reduce((sum, { points }) => sum + points.length, 0)).toBeLessThanOrEqual(boardLimits.points)
  board.draw('me', 1, '#000000', [[0, 0]])
  expect(board.strokes.at(-1)!.author).toBe('me')
})

test('points are of the picture, whatever the box', () => {
  const wide = placed({ width: 1920, height: 1080 }, { width: 800, height: 800 })
  expect(wide).toEqual({ left: 0, top: 175, width: 800, height: 450 })
  const high = placed({ width: 300, height: 600 }, { width: 800, height: 400 })
  expect(high).toEqual({ left: 300, top: 0, width: 200, height: 400 })
  expect(pointAt(400, 400, wide)).toEqual([0.5, 0.5])
  expect(pointAt(300, 400, high)).toEqual([0, 1])
  expect(pointAt(299, 10, high)).toBeUndefined()
  expect(placed({ width: 0, height: 0 }, { width: 10, height: 20 })).toEqual({ left: 0, top: 0, width: 10, height: 20 })
})

test('a bucket gives its burst, then its rate', () => {
  let now = 0
  const bucket = new Bucket(10, 3, () => now)
  const take = (n: number) => Array.from({ length: n }, () => bucket.take()).filter(Boolean).length
  expect(take(5)).toBe(3)
  now = 250
  expect(take(5)).toBe(2)
  now = 1e9
  expect(take(5)).toBe(3)
})
