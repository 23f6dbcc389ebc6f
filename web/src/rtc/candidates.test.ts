import { describe, expect, test } from 'vitest'
import { fragments, RemoteCandidates } from './candidates.ts'

const sdp = (...ufrags: string[]) => ['v=0', ...ufrags.map((ufrag) => `a=ice-ufrag:${ufrag}`), ''].join('\r\n')
const candidate = (ufrag: string, port: number) => ({ candidate: `candidate:1 1 udp 1 192.0.2.1 ${port} typ host ufrag ${ufrag}` })

describe('RemoteCandidates', () => {
  test('keeps candidates until their description comes', () => {
    const candidates = new RemoteCandidates()
    const early = [candidate('a', 1), { candidate: 'candidate:1', usernameFragment: 'a' }, { candidate: null }, candidate('b', 2)]
    for (const c of early) expect(candidates.sort(c)).toBe('kept')
    expect(candidates.describe(sdp('a'))).toEqual(early.slice(0, 3))
    expect(candidates.sort(candidate('a', 3))).toBe('use')
    expect(candidates.sort({ candidate: '' })).toBe('use')
    // b was of a description that was yet to come.
    expect(candidates.describe(sdp('b'))).toEqual([early[3]])
  })

  test('drops those of an earlier generation, also of kept ones', () => {
    const candidates = new RemoteCandidates()
    candidates.describe(sdp('a', 'b'))
    candidates.describe(sdp('b', 'c'))
    expect(candidates.sort(candidate('a', 1))).toBe('dropped')
    expect(candidates.sort({ candidate: null, usernameFragment: 'a' })).toBe('dropped')
    expect(candidates.sort(candidate('b', 1))).toBe('use')
    expect(candidates.describe(sdp('a'))).toEqual([])
    expect(candidates.sort(candidate('a', 2))).toBe('use') // the generation is back
    expect(candidates.counters).toEqual({ used: 2, kept: 0, dropped: 2 })
  })

  test('is bounded', () => {
    const candidates = new RemoteCandidates()
    for (let i = 0; i < 10_000; i++) candidates.sort(candidate('a', i))
    const kept = candidates.describe(sdp('a'))
    expect([kept.length, kept.at(-1)]).toEqual([256, candidate('a', 9999)])
    for (let i = 0; i < 10_000; i++) candidates.describe(sdp(`u${i}`))
    expect(candidates.sort(candidate('u9998', 1))).toBe('dropped')
  })

  test('reads the fragments of a description', () => {
    expect(fragments('v=0\r\na=ice-ufrag:x+/1\r\nm=audio\r\na=ice-ufrag:y\r\n')).toEqual(['x+/1', 'y'])
    expect(fragments('')).toEqual([])
  })
})
