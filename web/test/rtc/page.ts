// Peers of one page, for rtc.test.ts: each scenario returns what happened.

import { Connections } from '../../src/rtc/connections.ts'
import type { Signal } from '../../src/rtc/messages.ts'
import type { Peer } from '../../src/rtc/peer.ts'
import { Wire, type End } from './wire.ts'

interface Side {
  end: End
  connections: Connections
  incoming: Peer[]
  errors: string[]
}

function side(wire: Wire, id: string, configuration: RTCConfiguration = {}, setup: (pc: RTCPeerConnection) => void = data): Side {
  const end = wire.end(id)
  const incoming: Peer[] = []
  const errors: string[] = []
  const connections = new Connections(end, { accept: () => setup, configuration })
  connections.on('incoming', (peer) => {
    incoming.push(peer)
    peer.on('error', (cause) => errors.push(cause.code))
  })
  return { end, connections, incoming, errors }
}

const channels = new WeakMap<RTCPeerConnection, RTCDataChannel>()

/** Both sides create the channel 0. */
function data(pc: RTCPeerConnection): void {
  channels.set(pc, pc.createDataChannel('data', { negotiated: true, id: 0 }))
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 90_000
  while (!await condition()) {
    if (performance.now() > end) throw new Error(`not within 90 s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** Resolves with what the other side got. */
async function echo(from: Peer, to: Peer, text: string): Promise<string> {
  const [a, b] = [channels.get(from.pc)!, channels.get(to.pc)!]
  await until('open channels', () => a.readyState === 'open' && b.readyState === 'open')
  const got = new Promise<string>((resolve) => {
    b.onmessage = ({ data }) => resolve(String(data))
  })
  a.send(text)
  return got
}

const ufrag = (sdp: string | undefined) => sdp?.match(/a=ice-ufrag:(\S+)/)?.[1]

/** a (polite) opens a connection to b (impolite). */
async function pair(wire = new Wire(), configuration: RTCConfiguration = {}, setup = data) {
  const a = side(wire, 'a', configuration, setup)
  const b = side(wire, 'b', configuration, setup)
  wire.gather()
  const peer = a.connections.open('b', setup, 'first')
  peer.on('error', (cause) => a.errors.push(cause.code))
  await until('an offer', () => b.incoming.length > 0)
  const other = b.incoming[0]!
  await until('connected', () => peer.state === 'connected' && other.state === 'connected')
  return { wire, a, b, peer, other }
}

function negotiated(...peers: Peer[]): boolean {
  return peers.every(({ pc }) => pc.signalingState === 'stable' && pc.getTransceivers().every(({ currentDirection }) => currentDirection !== null))
}

const scenarios = {
  async connect() {
    const { wire, a, b, peer, other } = await pair()
    const got = await echo(peer, other, 'hello')
    peer.close('done')
    await until('closed', () => other.state === 'closed')
    return {
      got, states: [peer.state, other.state], ice: [a.end.iceRequests, b.end.iceRequests], errors: [...a.errors, ...b.errors],
      firstServers: (peer.pc.getConfiguration().iceServers ?? []).map((server) => server.username), bye: wire.log.at(-1)?.type,
      left: [a.connections.peers().length, b.connections.peers().length],
    }
  },

  /** Both sides add a track at the same moment, many times, with slow signaling. */
  async glare(rounds: number) {
    const { wire, a, b, peer, other } = await pair()
    wire.delay = 15
    const canvas = document.createElement('canvas')
    canvas.getContext('2d')
    for (let i = 0; i < rounds; i++) {
      for (const { pc } of [peer, other]) pc.addTransceiver(canvas.captureStream(1).getVideoTracks()[0]!, { direction: 'sendonly' })
      await until('negotiated', () => negotiated(peer, other) && peer.pc.getTransceivers().length === 2 * (i + 1) && other.pc.getTransceivers().length === 2 * (i + 1))
    }
    return {
      got: await echo(other, peer, 'still here'), rollbacks: peer.counters.rollbacks, ignored: other.counters.ignored,
      impolite: [peer.counters.ignored, other.counters.rollbacks], errors: [...a.errors, ...b.errors],
      transceivers: [peer, other].map(({ pc }) => pc.getTransceivers().length),
      directions: [...new Set([peer, other].flatMap(({ pc }) => pc.getTransceivers().map(({ currentDirection }) => currentDirection)))].sort(),
    }
  },

  /** Candidates overtake their description, and those of the generation before a restart come late. */
  async generations() {
    const wire = new Wire()
    const old: [string, string, Signal][] = []
    let offer: Signal | undefined
    let first = true
    wire.filter = (from, to, signal) => {
      if (!first) return [signal]
      // b tells nothing of its own, so that only the kept candidates of a make a path.
      if (from === 'b') {
        if (signal.type === 'candidate') return []
        return [signal.type === 'answer' ? { ...signal, sdp: signal.sdp.replaceAll(/a=(candidate|end-of-candidates).*\r\n/g, '') } : signal]
      }
      if (signal.type === 'offer') {
        offer = signal
        return []
      }
      if (signal.type === 'candidate') old.push([from, to, signal])
      if (offer === undefined || old.length < 2) return [signal]
      const late = offer
      offer = undefined
      return [signal, late]
    }
    const { a, b, peer, other } = await pair(wire)
    const generation = ufrag(peer.pc.localDescription?.sdp)
    const kept = other.candidates.counters.kept
    first = false
    peer.restart()
    await until('a new generation', () => negotiated(peer) && ufrag(peer.pc.localDescription?.sdp) !== generation && ufrag(other.pc.remoteDescription?.sdp) !== generation)
    const dropped = other.candidates.counters.dropped
    for (const [from, to, signal] of old) wire.carry(from, to, signal)
    await until('late candidates', () => other.candidates.counters.dropped >= dropped + old.length)
    return {
      kept, late: old.length, dropped: other.candidates.counters.dropped, got: await echo(peer, other, 'on'),
      errors: [...a.errors, ...b.errors], ice: [a.end.iceRequests, b.end.iceRequests],
    }
  },

  /** Both restart at once; the channel goes on. */
  async restarts() {
    const { a, b, peer, other } = await pair()
    const first = ufrag(peer.pc.localDescription?.sdp)
    const channel = channels.get(peer.pc)!
    peer.restart()
    other.restart()
    await until('restarted', () => negotiated(peer, other) && ufrag(peer.pc.localDescription?.sdp) !== first)
    await until('connected', () => peer.state === 'connected' && other.state === 'connected')
    return {
      got: [await echo(peer, other, 'x'), await echo(other, peer, 'y')], channel: channel === channels.get(peer.pc) && channel.readyState,
      fresh: a.end.iceRequests > 1 && b.end.iceRequests > 1, username: peer.pc.getConfiguration().iceServers?.[0]?.username !== 'u1',
      errors: [...a.errors, ...b.errors],
    }
  },

  /** An offer, then an answer, is lost with a socket; both sides come back. */
  async lost(what: 'offer' | 'answer', again: 'repeat' | 'timer') {
    const wire = new Wire()
    let lose = 1
    wire.filter = (_from, _to, signal) => (signal.type === what && lose-- > 0 ? [] : [signal])
    const a = side(wire, 'a')
    const b = side(wire, 'b')
    wire.gather()
    const peer = a.connections.open('b', data)
    await until('lost', () => lose <= 0)
    if (again === 'repeat') for (const { end } of [a, b]) end.emit('welcome', { type: 'welcome', resumed: false } as never)
    await until('connected', () => peer.state === 'connected' && b.incoming[0]?.state === 'connected')
    return { got: await echo(peer, b.incoming[0]!, 'found'), offers: wire.log.filter(({ type }) => type === 'offer').length, errors: [...a.errors, ...b.errors] }
  },

  async several() {
    const { a, b, peer, other } = await pair()
    const second = a.connections.open('b', data, 'second')
    const third = b.connections.open('a', data, 'first-of-b')
    await until('connected', () => second.state === 'connected' && third.state === 'connected')
    const [ofB, ofA] = [b.incoming.find((p) => p.connection === 'second')!, a.incoming[0]!]
    const got = [await echo(peer, other, '1'), await echo(second, ofB, '2'), await echo(third, ofA, '3')]
    second.close()
    await until('closed', () => ofB.state === 'closed')
    return { got, after: await echo(peer, other, '4'), states: [peer.state, third.state], peers: [a.connections.peers('b').length, b.connections.peers('a').length] }
  },

  /** Nothing of this harms a connection that works. */
  async malformed() {
    const { wire, a, b, peer, other } = await pair()
    const good = peer.pc.localDescription!.sdp
    const bad: Signal[] = [
      { type: 'offer', connection: 'first', sdp: '' },
      { type: 'offer', connection: 'first', sdp: 'v=0\r\nnonsense' },
      { type: 'offer', connection: 'first', sdp: good.replaceAll(/a=fingerprint.*\r\n/g, '').replace(/^o=.*$/m, 'o=- 1 1 IN IP4 127.0.0.1') },
      { type: 'answer', connection: 'first', sdp: good },
      { type: 'candidate', connection: 'first', candidate: 'candidate:nonsense' },
      { type: 'candidate', connection: 'first', candidate: 'candidate:1 1 udp 1 999.1.1.1 99999 typ host', sdpMid: 'none', sdpMLineIndex: 77 },
      { type: 'candidate', connection: 'first', candidate: null },
      { type: 'candidate', connection: 'unknown', candidate: null },
      { type: 'answer', connection: 'unknown', sdp: good },
      { type: 'bye', connection: 'unknown' },
    ]
    for (const signal of bad) wire.carry('a', 'b', signal)
    await until('errors', () => b.errors.length >= 4)
    const got = [await echo(peer, other, 'whole'), await echo(other, peer, 'still')]
    return { got, errors: b.errors, rejected: wire.log.filter((m) => m.from === 'b' && m.type === 'bye').map((m) => m.connection), states: [peer.state, other.state], a: a.errors }
  },

  /** The other side is gone without a word in signaling: the connection is interrupted, and ends when its peer has left. */
  async dead() {
    const { peer, other, wire } = await pair()
    const states: string[] = []
    channels.get(peer.pc)!.onclose = () => states.push('channel closed')
    peer.on('state', ({ state, reason }) => states.push(reason === undefined ? state : `${state} ${reason}`))
    wire.filter = () => []
    other.pc.close()
    await until('interrupted', () => states.length > 1)
    wire.ends.get('a')!.emit('peer', { type: 'peer', seq: 1, site: 'berlin', peer: 'b', kind: 'person', name: 'b', polite: true, state: 'left', reason: 'access_ended' })
    await until('closed', () => peer.state === 'closed')
    return states
  },

  /** What Chromium does with what this code keeps from it. */
  async facts() {
    const { peer, other } = await pair()
    const attempt = (candidate: RTCIceCandidateInit, pc = other.pc) => pc.addIceCandidate(candidate).then(() => 'accepted', (cause: Error) => cause.name)
    const unknown = { candidate: 'candidate:9 1 udp 1 127.0.0.1 50007 typ host ufrag nope', sdpMid: '0', usernameFragment: 'nope' }
    const used = async (port: number) => [...await other.pc.getStats()].some(([, report]) => report.type === 'remote-candidate' && report.port === port)
    const first = ufrag(peer.pc.localDescription?.sdp)!
    const closed = new RTCPeerConnection()
    const result = {
      unknownGeneration: await attempt(unknown), used: await used(50007),
      beforeDescription: await attempt(unknown, closed), end: await attempt({ candidate: '', sdpMid: '0' }),
    }
    closed.close()
    peer.restart()
    await until('restarted', () => negotiated(peer, other) && ufrag(other.pc.remoteDescription?.sdp) !== first)
    const pastGeneration = await attempt({ ...unknown, candidate: unknown.candidate.replace('50007', '50008').replace('nope', first), usernameFragment: first })
    const pastUsed = await used(50008)
    const canvas = document.createElement('canvas')
    const context = canvas.getContext('2d')!
    const painting = setInterval(() => context.fillRect(Math.random() * 100, 0, 9, 9), 20)
    const events: string[] = []
    let shown = false
    other.on('track', ({ track }) => {
      track.onunmute = () => (shown = true)
      track.onmute = () => events.push('mute')
      track.onended = () => events.push('ended')
    })
    const sender = peer.pc.addTransceiver(canvas.captureStream(20).getVideoTracks()[0]!, { direction: 'sendonly' })
    await until('shown', () => shown && negotiated(peer, other))
    await sender.sender.replaceTrack(null)
    const got = await echo(peer, other, 'replaced')
    const withoutTrack = [...events]
    sender.direction = 'inactive'
    await until('inactive', () => events.length > 0 && negotiated(peer, other))
    clearInterval(painting)
    return { ...result, pastGeneration, pastUsed, got, withoutTrack, inactive: events }
  },

  /** A side that nobody accepts for. */
  async rejected() {
    const wire = new Wire()
    const a = side(wire, 'a')
    const end = wire.end('b')
    const b = new Connections(end)
    wire.gather()
    const peer = a.connections.open('b', data)
    let reason: string | undefined
    peer.on('state', (event) => (reason = event.reason))
    await until('closed', () => peer.state === 'closed')
    return { reason, peers: b.peers().length }
  },
}

export type Scenarios = typeof scenarios

declare global {
  interface Window {
    rtc: Scenarios
  }
}

window.rtc = scenarios
