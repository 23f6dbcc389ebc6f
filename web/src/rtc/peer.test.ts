import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { SignalingError } from './error.ts'
import type { Signal } from './messages.ts'
import { Peer, peerTiming } from './peer.ts'
import type { ICEServer } from './protocol.ts'
import { FakeConnection } from './testing/connection.ts'

let sent: Signal[]
let ice: () => Promise<ICEServer[]>
let requests: number
let peers: Peer[]
let log: string[]

beforeEach(() => {
  vi.useFakeTimers()
  sent = []
  peers = []
  log = []
  requests = 0
  ice = async () => [{ urls: [`turn:${++requests}`] }]
})

afterEach(() => {
  for (const peer of peers) peer.close()
  expect(vi.getTimerCount(), 'timers after close').toBe(0)
  vi.useRealTimers()
})

const answer = (version: number) => `v=0\r\no=- 2 ${version} IN IP4 127.0.0.1\r\na=ice-ufrag:r${version}\r\n`
const settle = (ms = 0) => vi.advanceTimersByTimeAsync(ms)
const of = (type: Signal['type']) => sent.filter((signal) => signal.type === type)

function start(initiator = true): { peer: Peer; pc: FakeConnection } {
  const pc = new FakeConnection()
  const peer = new Peer({
    signaling: { send: (_to, signal) => sent.push(signal), ice: () => ice() }, remote: 'b', connection: 'c', polite: true, initiator,
    create: () => pc as unknown as RTCPeerConnection,
  })
  peer.on('state', ({ state, reason }) => log.push(reason === undefined ? state : `${state}: ${reason}`))
  peer.on('error', ({ code }) => log.push(code))
  peers.push(peer)
  return { peer, pc }
}

async function connected(initiator = true) {
  const started = start(initiator)
  started.pc.onnegotiationneeded!()
  await settle()
  started.peer.receive({ type: 'answer', connection: 'c', sdp: answer(1) })
  await settle()
  started.pc.becomes('connected')
  expect([started.pc.signalingState, log]).toEqual(['stable', ['connected']])
  return started
}

describe('a path that is lost', () => {
  test.each([
    ['disconnected', true, peerTiming.restartAfter.initiator], ['disconnected', false, peerTiming.restartAfter.other],
    ['failed', true, 0], ['failed', false, peerTiming.restartAfter.other - peerTiming.restartAfter.initiator],
  ] as const)('%s (initiator: %s) is restarted after %d ms, with new ICE servers', async (state, initiator, wait) => {
    const { pc } = await connected(initiator)
    pc.becomes(state)
    if (wait > 0) await settle(wait - 1)
    expect(pc.restarts).toBe(0)
    await settle(1)
    expect([pc.restarts, pc.configuration.iceServers]).toEqual([1, [{ urls: ['turn:2'] }]])
    expect(of('offer').length).toBe(2)
  })

  test('that is found again by itself is not restarted', async () => {
    const { pc } = await connected()
    pc.becomes('disconnected')
    await settle(peerTiming.restartAfter.initiator - 1)
    pc.becomes('connected')
    await settle(600_000)
    expect([pc.restarts, log]).toEqual([0, ['connected', 'interrupted', 'connected']])
  })

  test('is restarted again until the peer gives up, and says so', async () => {
    const { peer, pc } = await connected()
    pc.becomes('failed')
    for (let i = 0; i < 11; i++) {
      await settle(peerTiming.restartAgain)
      const version = 100 + i
      if (pc.signalingState === 'have-local-offer') peer.receive({ type: 'answer', connection: 'c', sdp: answer(version) })
    }
    expect(pc.restarts).toBeGreaterThanOrEqual(10)
    expect(peer.state).toBe('interrupted')
    await settle(peerTiming.restartAgain)
    expect(log.at(-1)).toBe('closed: failed')
    expect([pc.connectionState, sent.at(-1)]).toEqual(['closed', { type: 'bye', connection: 'c', reason: 'failed' }])
  })

  test('for a restart whose answer is lost, the offer is sent again', async () => {
    const { pc } = await connected()
    pc.becomes('failed')
    await settle(0)
    expect(of('offer').length).toBe(2)
    await settle(2 * peerTiming.offerAgain)
    expect(of('offer').length).toBe(4)
    expect(of('offer')[3]).toEqual(of('offer')[1])
  })
})

test('a peer that never connects is given up', async () => {
  const { peer, pc } = start()
  pc.onnegotiationneeded!()
  await settle(peerTiming.giveUp)
  expect([peer.state, log]).toEqual(['closed', ['closed: failed']])
})

test('ICE servers are waited for, but not for ever', async () => {
  ice = () => new Promise(() => {})
  const { pc } = start()
  pc.onnegotiationneeded!()
  await settle(peerTiming.ice - 1)
  expect(sent).toEqual([])
  await settle(1)
  expect([of('offer').length, log]).toEqual([1, ['unavailable']])
})

test('without ICE servers the host candidates are tried', async () => {
  ice = async () => { throw new SignalingError('unavailable', 'no TURN') }
  const { pc } = start()
  pc.onnegotiationneeded!()
  await settle()
  expect([of('offer').length, log, pc.configuration.iceServers]).toEqual([1, ['unavailable'], undefined])
})

test('an answer that comes twice does not answer the next offer', async () => {
  const { peer, pc } = start()
  pc.onnegotiationneeded!()
  await settle(peerTiming.offerAgain) // it is sent twice, and answered twice
  expect(of('offer').length).toBe(2)
  peer.receive({ type: 'answer', connection: 'c', sdp: answer(1) })
  await settle()
  pc.onnegotiationneeded!()
  await settle(peerTiming.offerAgain)
  peer.receive({ type: 'answer', connection: 'c', sdp: answer(1) })
  await settle()
  expect(pc.signalingState).toBe('have-local-offer')
  peer.receive({ type: 'answer', connection: 'c', sdp: answer(2) })
  await settle()
  expect(pc.signalingState).toBe('stable')
})

test('what comes after the end does nothing', async () => {
  const { peer, pc } = await connected()
  peer.receive({ type: 'bye', connection: 'c', reason: 'done' })
  peer.receive({ type: 'offer', connection: 'c', sdp: answer(9) })
  peer.restart()
  peer.close()
  await settle(600_000)
  expect(log).toEqual(['connected', 'closed: done'])
  expect([pc.signalingState, of('answer').length, of('bye').length]).toEqual(['closed', 0, 0])
})
