import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Emitter } from '../rtc/emitter.ts'
import type { Peer, PeerEvents } from '../rtc/peer.ts'
import { FakeConnection, type FakeDataChannel } from '../rtc/testing/connection.ts'
import { Call } from './call.ts'
import { encodeFrame } from './chunk.ts'
import { LocalMedia, type Devices } from './media.ts'

class FakePeer extends Emitter<PeerEvents> {
  close(): void {}

  becomes(state: PeerEvents['state']['state']): void {
    this.emit('state', { state })
  }
}

let call: Call
let share: FakeDataChannel
let files: FakeDataChannel
let peer: FakePeer
let seen: string[]

function connect(): void {
  const pc = new FakeConnection()
  call.setup(pc as unknown as RTCPeerConnection)
  peer = new FakePeer()
  call.bind(peer as unknown as Peer)
  ;[share, files] = pc.channels as [FakeDataChannel, FakeDataChannel]
  share.opens()
  files.opens()
  peer.becomes('connected')
}

beforeEach(() => {
  vi.useFakeTimers()
  seen = []
  call = new Call({ peer: 'b', kind: 'person', name: 'bob', polite: true, sites: new Set(['berlin']), lost: false }, new LocalMedia({} as Devices))
  call.on('chat', ({ from, text }) => seen.push(`${from}: ${text}`))
  call.on('error', ({ code }) => seen.push(code))
  call.on('drawn', ({ whose, kind }) => seen.push(`${whose} ${kind}`))
  connect()
})

afterEach(() => {
  call.end('test')
  expect(vi.getTimerCount()).toBe(0)
  vi.useRealTimers()
})

const sent = () => share.sent.map((text) => JSON.parse(String(text)) as { type: string; code?: string })
const errors = () => sent().filter(({ type }) => type === 'error').map(({ code }) => code)
const message = (m: object) => share.onmessage!({ data: JSON.stringify(m) })

describe('messages of the other person', () => {
  test('that are not valid get an error with a code, and the call goes on', () => {
    for (const data of ['{', '[]', '{"type":"chat","text":7}', 'x'.repeat(40_000), new ArrayBuffer(8)]) share.onmessage!({ data })
    for (const data of ['text', new ArrayBuffer(3), encodeFrame({ kind: 'data', file: 9, offset: 0, data: new Uint8Array(1) }).buffer]) files.onmessage!({ data })
    const codes = ['invalid_message', 'invalid_message', 'invalid_message', 'message_too_big', 'invalid_message', 'invalid_message', 'invalid_message', 'unknown_file']
    expect(seen).toEqual(codes)
    expect(errors(), 'a few at once, so that nobody is made to flood').toEqual(codes.slice(0, 5))
    message({ type: 'chat', text: 'still here', sent_ms: 1 })
    expect([seen.at(-1), call.state]).toEqual(['them: still here', 'connected'])
  })

  test('an error is not answered by an error', () => {
    message({ type: 'error', code: 'invalid_message', message: 'yours' })
    expect([seen, errors()]).toEqual([['invalid_message'], []])
  })

  test('beyond the rate are dropped, and accepted again later', () => {
    for (let i = 0; i < 1000; i++) message({ type: 'chat', text: `${i}`, sent_ms: 1 })
    expect(seen.filter((s) => s.startsWith('them')).length).toBe(400)
    expect(errors()).toEqual(Array<string>(5).fill('too_many_messages'))
    vi.advanceTimersByTime(1000)
    for (let i = 0; i < 1000; i++) message({ type: 'chat', text: `${i}`, sent_ms: 1 })
    expect(seen.filter((s) => s.startsWith('them')).length).toBe(500)
  })

  test('lines are on the picture that the sender means, seen from here', () => {
    message({ type: 'stroke', id: 1, on: { owner: 'sender', kind: 'screen' }, color: '#ff0000', points: [[0, 1]] })
    message({ type: 'stroke', id: 2, on: { owner: 'receiver', kind: 'camera' }, color: '#ff0000', points: [[0.5, 0.5]] })
    expect(seen).toEqual(['theirs screen', 'mine camera'])
    expect(call.board({ whose: 'mine', kind: 'camera' }).strokes).toEqual([{ id: 2, author: 'them', color: '#ff0000', points: [[0.5, 0.5]] }])
    message({ type: 'clear', on: { owner: 'receiver', kind: 'camera' } })
    expect(call.board({ whose: 'mine', kind: 'camera' }).strokes).toEqual([])
    expect(call.board({ whose: 'theirs', kind: 'screen' }).strokes.length).toBe(1)
  })

  test('about tracks that do not exist show nothing', () => {
    message({ type: 'media', tracks: [{ mid: '7', kind: 'camera', muted: false }] })
    expect(call.remote.size).toBe(0)
  })
})

describe('messages of this person', () => {
  test('chat and lines are not sent into a lost connection or a full queue', () => {
    expect(call.chat('')).toBe(false)
    expect(call.chat('x'.repeat(4001))).toBe(false)
    share.bufferedAmount = 2 << 20
    expect(call.chat('full')).toBe(false)
    share.bufferedAmount = 0
    const add = call.stroke({ whose: 'theirs', kind: 'camera' }, '#00ff00')
    expect(add([[0.123456, 2], [-1, 0]])).toBe(true)
    expect(sent().at(-1)).toEqual({ type: 'stroke', id: 1, on: { owner: 'receiver', kind: 'camera' }, color: '#00ff00', points: [[0.1235, 1], [0, 0]] })
    share.readyState = 'closed'
    expect([call.chat('lost'), add([[0, 0]])]).toEqual([false, false])
    expect(seen).toEqual(['theirs camera'])
  })

  test('a long line goes in pieces that are accepted', () => {
    call.stroke({ whose: 'mine', kind: 'screen' }, '#00ff00')(Array.from({ length: 1200 }, () => [0.123456789, 0.987654321]))
    expect(share.sent.filter((text) => String(text).includes('stroke')).map((text) => (JSON.parse(String(text)) as { points: unknown[] }).points.length)).toEqual([512, 512, 176])
    for (const text of share.sent) expect(String(text).length).toBeLessThan(32_768)
  })
})

test('a file is offered again on the next connection, with the same key', () => {
  call.files.send(new File(['hello'], 'a.txt'))
  const [first] = sent().filter(({ type }) => type === 'file')
  peer.becomes('closed')
  expect(call.state).toBe('interrupted')
  connect()
  expect(sent().filter(({ type }) => type === 'file')).toEqual([first])
  expect(call.state).toBe('connected')
  // The old channels are deaf.
  expect(call.files.transfers()[0]!.state).toBe('waiting')
})
