import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { LiveError } from './error.ts'
import { decodeFrame, encodeClock } from './frames.ts'

const sent = 1795425713123456
const hex = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(/#.*$/gm, '').replaceAll(/\s/g, ''), 'hex'))
const record = '01 02 2a 01 64 32 01 6d 3a 01 00 42 01 00 4a 01 00 5a 01 02 82 01 01 02 8a 01 02 9a 03 60 38 03 86'
const time = '80 f0 d9 1f ee 60 06 00'

const examples = {
  'live': `01 000000 07000000 ${time} 01000000 dc050000 ${record}`,
  'clock request': `02 000000 03000000 ${time}`,
  'clock response': `03 000000 03000000 ${time} 90 17 da 1f ee 60 06 00 a4 17 da 1f ee 60 06 00`,
  'heartbeat': `04 000000 02000000 ${time}`,
  'history': `10 01 0000 09000000 ${record}`,
}

describe('frames', () => {
  test('the examples are those of docs/LIVE.md, which Go compares with what it encodes', () => {
    const doc = new URL('../../../docs/LIVE.md', import.meta.url)
    const blocks = [...readFileSync(doc, 'utf8').matchAll(/Example: ([a-z ]+)\n+```text\n(.*?)```/gs)]
    const documented = Object.fromEntries(blocks.map(([, name, text]) => [name!, hex(text!)]))
    expect(documented).toEqual(Object.fromEntries(Object.entries(examples).map(([name, text]) => [name, hex(text)])))
  })

  test('are decoded', () => {
    expect(decodeFrame(hex(examples['live']))).toEqual({ kind: 'live', seq: 7, sent, ages: Uint32Array.of(1500), record: hex(record) })
    expect(decodeFrame(hex(examples['clock request']))).toEqual({ kind: 'clock request', id: 3, t0: sent })
    expect(decodeFrame(hex(examples['clock response']))).toEqual({ kind: 'clock response', id: 3, t0: sent, t1: sent + 10_000, t2: sent + 10_020 })
    expect(decodeFrame(hex(examples['heartbeat']))).toEqual({ kind: 'heartbeat', seq: 2, sent })
    expect(decodeFrame(hex(examples['history']))).toEqual({ kind: 'history', request: 9, last: true, record: hex(record) })
  })

  test('are decoded where the memory is not aligned', () => {
    const bytes = new Uint8Array(200)
    const example = hex(examples['live'])
    for (let at = 0; at < 8; at++) {
      bytes.set(example, at)
      expect(decodeFrame(bytes.subarray(at, at + example.length))).toMatchObject({ seq: 7, sent, ages: Uint32Array.of(1500) })
    }
  })

  test('clock frames are encoded, with times before 1970 and fractions', () => {
    expect(encodeClock(3, sent)).toEqual(hex(examples['clock request']))
    expect(encodeClock(3, sent, { t1: sent + 10_000, t2: sent + 10_020 })).toEqual(hex(examples['clock response']))
    for (const t0 of [0, -1, -(2 ** 40), 2 ** 53 - 1]) expect(decodeFrame(encodeClock(1, t0))).toMatchObject({ t0 })
    expect(decodeFrame(encodeClock(1, 12.7))).toMatchObject({ t0: 13 })
  })

  test('of later versions are skipped, and so are reserved bytes', () => {
    for (const kind of [0, 5, 15, 17, 255]) expect(decodeFrame(Uint8Array.of(kind, 1, 2))).toBeUndefined()
    const frame = hex(examples['live'])
    frame.fill(0xff, 2, 4)
    expect(decodeFrame(frame)).toMatchObject({ seq: 7 })
  })

  const live = hex(examples['live'])
  const edit = (at: number, ...values: number[]) => {
    const out = live.slice()
    out.set(values, at)
    return out
  }
  test.each<[string, Uint8Array, string]>([
    ['empty', new Uint8Array(0), 'empty'],
    ['live without its header', live.subarray(0, 19), 'kind 1: 19 bytes, want 20 to 262144'],
    ['live flags', edit(1, 2), 'unknown flags 0x02'],
    ['no events', edit(16, 0), '0 events, want 1 to 10000'],
    ['10,001 events', edit(16, 0x11, 0x27), '10001 events, want 1 to 10000'],
    ['ages cut off', edit(16, 200), 'want at least 800 for the ages of 200 events'],
    ['no record', live.subarray(0, 25), 'live: record of 1 bytes, want at least 2'],
    ['compressed record', edit(25, 3), 'the record is compressed (flag 0x01)'],
    ['a tick', edit(24, 84), 'record of version 84, want 1'],
    ['too large', new Uint8Array(262145).fill(1), 'want 20 to 262144'],
    ['history flags', Uint8Array.of(16, 4, 0, 0, 1, 0, 0, 0, 1, 0), 'unknown flags 0x04'],
    ['history without record', Uint8Array.of(16, 1, 0, 0, 1, 0, 0, 0), 'history: record of 0 bytes'],
    ['history too large', new Uint8Array(65537).fill(16), 'want 8 to 65536'],
    ['short request', new Uint8Array(15).fill(2), '15 bytes, want 16 to 16'],
    ['long response', new Uint8Array(33).fill(3), '33 bytes, want 32 to 32'],
    ['long heartbeat', new Uint8Array(17).fill(4), '17 bytes, want 16 to 16'],
  ])('%s is rejected', (_, frame, text) => {
    expect(() => decodeFrame(frame)).toThrow(LiveError)
    expect(() => decodeFrame(frame)).toThrow(text)
  })
})
