import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { crc32c } from './checksum.ts'
import { LiveError } from './error.ts'
import { defaultLimits, RecordDecoder, type RecordEvents } from './record.ts'

/** A line of web/test/records, a command of Go. */
interface Line {
  record: string
  error?: string
  batch?: {
    gateway: string; site: string; trace: string; received: string
    device: string[]; metric: string[]; time: string[]; value: string[]; quality: number[]; rejected: number[]
  }
}

const root = fileURLToPath(new URL('../../..', import.meta.url))
const lines = (text: string): Line[] => text.trimEnd().split('\n').map((line) => JSON.parse(line) as Line)

/** What the decoder made of a record, in the form of Go's. */
function seen(events: RecordEvents): Line['batch'] {
  const bits = new BigUint64Array(events.values.slice().buffer)
  const at = [...events.places]
  const rejected = Array.from({ length: events.length + events.rejected }, (_, i) => i).filter((i) => !at.includes(i))
  return {
    gateway: events.gateway, site: events.site, trace: events.trace, received: String(events.received),
    device: Array.from(events.series, (s) => events.devices[events.seriesDevice[s]!]!),
    metric: Array.from(events.series, (s) => events.metrics[events.seriesMetric[s]!]!),
    time: Array.from(events.times, String),
    value: Array.from(bits, (b) => b.toString(16).padStart(16, '0')),
    quality: [...events.qualities],
    rejected,
  }
}

function compare(all: Line[]): { valid: number; invalid: number } {
  const decoder = new RecordDecoder()
  let valid = 0
  let invalid = 0
  for (const { record, error, batch } of all) {
    const bytes = new Uint8Array(Buffer.from(record, 'base64'))
    let have: Line['batch'] | LiveError
    try {
      have = seen(decoder.decode(bytes))
      valid++
    } catch (cause) {
      if (!(cause instanceof LiveError)) throw cause
      have = cause
      invalid++
    }
    if (bytes[1] === 3 && batch !== undefined) {
      expect(have, record).toMatchObject({ code: 'compressed' })
    } else if (batch === undefined) {
      expect(have, `${record}: Go says ${error}`).toBeInstanceOf(LiveError)
    } else {
      expect(have, record).toEqual(batch)
    }
  }
  return { valid, invalid }
}

describe('records', () => {
  test('are decoded as by Go: the committed ones', () => {
    const { valid, invalid } = compare(lines(readFileSync(new URL('../../test/records/testdata/records.jsonl', import.meta.url), 'utf8')))
    expect(valid).toBeGreaterThan(50)
    expect(invalid).toBeGreaterThan(30)
  })

  test('are accepted and rejected as by Go: random ones', () => {
    const seed = process.env['RECORDS_SEED'] ?? String(Math.floor(Math.random() * 1e9))
    const count = process.env['RECORDS'] ?? '3000'
    console.log(`RECORDS_SEED=${seed} RECORDS=${count}`)
    const out = execFileSync('go', ['run', './web/test/records', count, seed], { cwd: root, maxBuffer: 1 << 30 })
    const { valid, invalid } = compare(lines(out.toString()))
    expect(valid).toBeGreaterThan(0.3 * Number(count))
    expect(invalid).toBeGreaterThan(0.2 * Number(count))
  })

  test('the example of the format', () => {
    const hex = '0102 2a0164 32016d 3a0100 420100 4a0100 5a0102 82010102 8a01029a03 60380386'.replaceAll(' ', '')
    const events = new RecordDecoder().decode(new Uint8Array(Buffer.from(hex, 'hex')))
    expect(seen(events)).toMatchObject({ device: ['d'], metric: ['m'], time: ['1'], quality: [0] })
    expect([...events.values]).toEqual([20.5])
  })

  test('no bytes at all make anything but a LiveError', () => {
    const decoder = new RecordDecoder()
    let state = 1
    const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 8
    for (let i = 0; i < 20_000; i++) {
      const bytes = new Uint8Array(random() % 60)
      for (let j = 0; j < bytes.length; j++) bytes[j] = random()
      if (bytes.length > 1) {
        bytes[0] = 1
        bytes[1] = 0
      }
      try {
        decoder.decode(bytes)
      } catch (cause) {
        expect(cause).toBeInstanceOf(LiveError)
      }
    }
  })

  test.each<[string, number, bigint[], string | number[]]>([
    ['2^53 - 1 is the greatest decimal', 1, [2n ** 54n - 2n], [2 ** 53 - 1]],
    ['2^53 is too great', 1, [2n ** 54n], 'decimals: event 0: not within'],
    ['-2^53 is too small', 1, [2n ** 54n - 1n], 'decimals: event 0: not within'],
    ['-(2^53 - 1) is the least decimal', 1, [2n ** 54n - 3n], [-(2 ** 53 - 1)]],
    ['differences to 2^53', 17, [2n ** 54n - 2n, 2n], 'decimals: event 1: not within'],
    ['differences from the greatest to the least', 17, [2n ** 54n - 2n, 2n ** 55n - 5n], [2 ** 53 - 1, -(2 ** 53 - 1)]],
    ['a difference of 64 bits', 17, [2n, 2n ** 64n - 1n], 'decimals: event 1: not within'],
    ['wraps at 64 bits as in Go', 1, [2n ** 64n - 2n], 'decimals: event 0: not within'],
  ])('%s', (_, scale, decimals, want) => {
    const varint = (v: bigint): number[] => (v < 128n ? [Number(v)] : [Number(v & 127n) | 128, ...varint(v >> 7n)])
    const packed = (field: number, bytes: number[]) => [...varint(BigInt(field << 3 | 2)), bytes.length, ...bytes]
    const zeros = decimals.map(() => 0)
    const record = new Uint8Array([
      1, 0, ...packed(5, [100]), ...packed(6, [109]), ...packed(7, [0]), ...packed(8, [0]), ...packed(9, zeros), ...packed(11, zeros),
      ...packed(16, [scale]), ...packed(17, decimals.flatMap(varint)),
    ])
    const decode = () => [...new RecordDecoder().decode(record).values]
    if (typeof want === 'string') expect(decode).toThrow(want)
    else expect(decode()).toEqual(want)
  })

  test('limits hold', () => {
    const name = (field: number, text: string) => [field << 3 | 2, text.length, ...Buffer.from(text)]
    const record = (...fields: number[][]) => new Uint8Array([1, 0, ...fields.flat()])
    const two = record(name(5, 'a'), name(5, 'b'), name(6, 'm'), [0x3a, 2, 0, 1], [0x42, 2, 0, 0], [0x4a, 2, 0, 2], [0x5a, 2, 2, 2], [0x7a, 16], new Array<number>(16).fill(0))
    expect(new RecordDecoder().decode(two).length).toBe(2)
    const fails = (limits: Partial<typeof defaultLimits>, text: string) =>
      expect(() => new RecordDecoder({ ...defaultLimits, ...limits }).decode(two)).toThrow(text)
    fails({ recordBytes: two.length - 1 }, `want at most ${two.length - 1} bytes`)
    fails({ events: 1 }, 'want at most 1 events, have 2')
    fails({ names: 1 }, 'devices: want at most 1')
  })

  test('a column in 200,000 pieces takes no quadratic time', () => {
    // 200,000 entries of one byte: copying all before each one would move 20 GB.
    const pieces = 200_000
    const bytes = new Uint8Array(2 + 3 * pieces)
    bytes[0] = 1
    for (let i = 0; i < pieces; i++) bytes.set([0x88, 0x01, 2], 2 + 3 * i) // decimals, one varint
    const start = performance.now()
    expect(() => new RecordDecoder().decode(bytes)).toThrow('want at most 10000 events, have 200000')
    console.log(`${(performance.now() - start).toFixed(0)} ms`)
  })

  test('the checksum is that of RFC 3720', () => {
    expect(crc32c(new TextEncoder().encode('123456789')).toString(16)).toBe('e3069283')
    expect(crc32c(new TextEncoder().encode('6789'), crc32c(new TextEncoder().encode('12345'))).toString(16)).toBe('e3069283')
  })
})
