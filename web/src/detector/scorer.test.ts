import { readFileSync } from 'node:fs'
import { beforeEach, expect, test } from 'vitest'
import { modulePath } from '../../test/reference.ts'
import { DetectorModule } from './detector.ts'
import type { Reply, Request } from './messages.ts'
import { Scorer } from './scorer.ts'

let now: number
let scorer: Scorer

beforeEach(async () => {
  now = 0
  scorer = new Scorer(await DetectorModule.load(readFileSync(modulePath)), () => now)
})

const block = (series: string, samples: number, sensors = 1): Request => ({
  kind: 'score', id: 1, series, sensors,
  times: Float64Array.from({ length: samples }, (_, i) => i),
  values: Float64Array.from({ length: samples * sensors }, (_, i) => i % 7),
})

function failed(reply: Reply): string {
  return reply.kind === 'failed' ? reply.code : `not failed but ${reply.kind}`
}

test('counts what it does', () => {
  expect(scorer.handle(block('a', 600))).toMatchObject({ kind: 'scored', id: 1, series: 'a' })
  scorer.handle(block('b', 400))
  scorer.handle(block('a', 1000))
  expect(scorer.counters()).toMatchObject({ series: 2, blocks: 3, samples: 2000, failures: 0, samplesPerSecond: 0 })
  now = 2000
  expect(scorer.counters().samplesPerSecond).toBe(1000)
  now = 3000
  expect(scorer.counters().samplesPerSecond).toBe(0)
})

test('scores each series on its own', () => {
  scorer.handle(block('a', 600))
  const hash = () => scorer.handle({ kind: 'save', id: 2, series: 'a' })
  const before = hash()
  scorer.handle(block('b', 600))
  expect(hash()).toEqual(before)
})

test('responds with an error to a failed request, and continues', () => {
  scorer.handle(block('machine', 10, 3))
  expect(failed(scorer.handle(block('machine', 10, 4)))).toBe('arguments')
  expect(failed(scorer.handle({ ...block('new', 10), values: new Float64Array(9) } as Request))).toBe('arguments')
  expect(failed(scorer.handle({ kind: 'save', id: 1, series: 'new' }))).toBe('unknown')
  expect(failed(scorer.handle({ kind: 'forget', id: 1, series: 'new' }))).toBe('unknown')
  expect(failed(scorer.handle({ kind: 'restore', id: 1, series: 'new', sensors: 1, state: new Uint8Array(9) }))).toBe('state')
  expect(failed(scorer.handle({ kind: 'load', id: 1, module: '' }))).toBe('arguments')
  expect(scorer.counters()).toMatchObject({ series: 1, blocks: 1, failures: 6 })
})

test('what fails takes no slot', () => {
  for (let i = 0; i < 1000; i++) {
    scorer.handle({ ...block('new', 10), values: new Float64Array(9) } as Request)
    scorer.handle({ kind: 'restore', id: 1, series: 'new', sensors: 1, state: new Uint8Array(9) })
  }
  expect(scorer.handle(block('new', 10)).kind).toBe('scored')
})

test('says when it is full, until a series is forgotten', () => {
  for (let i = 0; i < 256; i++) scorer.handle(block(`series ${i}`, 1))
  expect(failed(scorer.handle(block('one more', 1)))).toBe('full')
  scorer.handle({ kind: 'forget', id: 1, series: 'series 9' })
  expect(scorer.handle(block('one more', 1)).kind).toBe('scored')
})

test('restores a series', () => {
  scorer.handle(block('a', 600))
  const saved = scorer.handle({ kind: 'save', id: 1, series: 'a' })
  if (saved.kind !== 'saved') throw new Error(saved.kind)
  for (const series of ['b', 'a']) {
    expect(scorer.handle({ kind: 'restore', id: 2, series, sensors: 1, state: saved.state.slice() })).toEqual({ kind: 'done', id: 2 })
    expect(scorer.handle({ kind: 'save', id: 1, series })).toEqual(saved)
  }
})
