import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { hex, Sha256 } from './sha256.ts'

const native = (data: Uint8Array) => createHash('sha256').update(data).digest('hex')

function ours(...pieces: Uint8Array[]): string {
  const hash = new Sha256()
  for (const piece of pieces) hash.update(piece)
  return hex(hash.digest())
}

const data = Uint8Array.from({ length: 1000 }, (_, i) => (i * 7919) >> 3)

test('gives the digests of the standard', () => {
  const text = (s: string) => new TextEncoder().encode(s)
  expect(ours()).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
  expect(ours(text('abc'))).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
})

test('gives those of OpenSSL at each length, in one piece and in two', () => {
  for (let n = 0; n <= 300; n++) {
    const whole = data.subarray(0, n)
    const want = native(whole)
    expect(ours(whole), `${n} bytes`).toBe(want)
    const cut = (n * 37) % (n + 1)
    expect(ours(whole.subarray(0, cut), whole.subarray(cut)), `${n} bytes, cut at ${cut}`).toBe(want)
  }
})

test('gives that of OpenSSL for pieces of any size', () => {
  const large = new Uint8Array(3_000_001).fill(0xff).map((_, i) => i * i)
  const pieces: Uint8Array[] = []
  for (let at = 0, n = 1; at < large.length; at += n, n = n * 2 % 70_001 + 1) pieces.push(large.subarray(at, at + n))
  expect(ours(...pieces)).toBe(native(large))
})

test('counts lengths beyond 2^32 bits', { timeout: 600_000 }, () => {
  const piece = new Uint8Array(64 << 20)
  const hash = new Sha256()
  const other = createHash('sha256')
  for (let i = 0; i < 9; i++) {
    hash.update(piece)
    other.update(piece)
  }
  expect(hex(hash.digest())).toBe(other.digest('hex'))
})

test('is for one digest', () => {
  const hash = new Sha256()
  hash.digest()
  expect(() => hash.update(data)).toThrow('already')
})
