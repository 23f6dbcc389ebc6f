import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { encodeRecord } from '../../test/encode.ts'
import type { LiveError } from './error.ts'
import type { Liveness } from './pipeline.ts'
import { LiveViewer, viewerTiming, type FeedPort, type MemberPort, type PeerPort, type ViewerOptions, type ViewerState } from './viewer.ts'

class FakeChannel {
  readyState = 'connecting'
  binaryType = ''
  sent: unknown[] = []
  onopen: (() => void) | null = null
  onmessage: ((event: { data: unknown }) => void) | null = null

  constructor(readonly label: string) {}

  send(text: string): void {
    if (this.readyState !== 'open') throw new DOMException('not open', 'InvalidStateError')
    this.sent.push(JSON.parse(text))
  }

  open(): void {
    this.readyState = 'open'
    this.onopen?.()
  }
}

class FakePeer implements PeerPort {
  readonly channels: FakeChannel[] = []
  transceivers: string[] = []
  restarts = 0
  closed: string | undefined
  listeners: ((event: { state: string; reason?: string }) => void)[] = []
  pc: RTCPeerConnection

  constructor(readonly remote: string) {
    this.pc = {
      createDataChannel: (label: string) => {
        const channel = new FakeChannel(label)
        this.channels.push(channel)
        return channel
      },
      addTransceiver: (kind: string, { direction }: { direction: string }) => this.transceivers.push(`${kind} ${direction}`),
    } as unknown as RTCPeerConnection
  }

  on(kind: string, listener: (event: never) => void): () => void {
    if (kind === 'state') this.listeners.push(listener as never)
    return () => {}
  }

  restart(): void {
    this.restarts++
  }

  close(reason?: string): void {
    if (this.closed !== undefined) return
    this.closed = reason ?? ''
    for (const listener of this.listeners) listener({ state: 'closed', reason: reason ?? 'closed' })
  }

  channel(label: string): FakeChannel {
    return this.channels.find((c) => c.label === label)!
  }
}

class World {
  members: MemberPort[] = []
  peers: FakePeer[] = []
  states: string[] = []
  errors: LiveError[] = []
  attached: number[] = []
  detached: number[] = []
  #listeners: ((member: MemberPort) => void)[] = []

  feed: FeedPort = {
    onliveness: undefined,
    attach: (pc) => {
      pc.createDataChannel('live')
      return this.attached.push(this.attached.length) - 1
    },
    detach: (n) => void this.detached.push(n),
  }

  viewer(options: Partial<ViewerOptions> = {}): LiveViewer {
    return new LiveViewer({
      connections: {
        roster: {
          members: () => this.members,
          on: (_, listener) => {
            this.#listeners.push(listener)
            return () => void this.#listeners.splice(this.#listeners.indexOf(listener), 1)
          },
        },
        open: (remote, setup) => {
          const peer = new FakePeer(remote)
          this.peers.push(peer)
          setup(peer.pc)
          return peer
        },
      },
      feed: this.feed, gateway: 'gw-0', random: () => 0,
      onstate: (state, reason) => this.states.push(reason === '' ? state : `${state}: ${reason}`),
      onerror: (cause) => this.errors.push(cause),
      ...options,
    })
  }

  appear(peer: string, name = 'gw-0', kind = 'gateway', lost = false): void {
    const member = { peer, kind, name, lost }
    this.members = [...this.members.filter((m) => m.peer !== peer), member]
    for (const listener of [...this.#listeners]) listener(member)
  }

  lose(peer: string): void {
    this.members = this.members.map((m) => (m.peer === peer ? { ...m, lost: true } : m))
  }

  hear(liveness: Liveness, connection = this.attached.length - 1): void {
    this.feed.onliveness?.(connection, liveness)
  }

  get listening(): number {
    return this.#listeners.length
  }
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** A viewer that sees its gateway live. */
function live(options: Partial<ViewerOptions> = {}): { world: World; viewer: LiveViewer; peer: FakePeer } {
  const world = new World()
  world.appear('p1')
  const viewer = world.viewer(options)
  const peer = world.peers[0]!
  peer.channel('control').open()
  world.hear('live')
  return { world, viewer, peer }
}

describe('the viewer', () => {
  test('connects to the gateway of its name, creates the channels and subscribes', () => {
    const world = new World()
    world.appear('x', 'gw-1')
    world.appear('y', 'gw-0', 'person')
    const viewer = world.viewer({ devices: ['press-01'], maxHz: 5, video: true })
    expect(world.peers).toEqual([])
    world.appear('p1')
    const peer = world.peers[0]!
    expect(peer.remote).toBe('p1')
    expect(peer.channels.map(({ label }) => label)).toEqual(['control', 'live', 'history'])
    expect(peer.transceivers).toEqual(['video recvonly'])
    viewer.camera('press-01')
    expect(viewer.state).toBe('connecting')
    peer.channel('control').open()
    world.hear('live')
    expect(peer.channel('control').sent).toEqual([
      { type: 'subscribe', devices: ['press-01'], max_hz: 5 }, { type: 'camera', name: 'press-01' },
    ])
    viewer.subscribe(null)
    expect(peer.channel('control').sent.at(-1)).toEqual({ type: 'subscribe', devices: null })
    expect(world.states).toEqual(['live'])
    expect(vi.getTimerCount()).toBe(0)
  })

  test('silent: looks for another path after 2 s, is lost after 3 s, connects anew after 12 s', () => {
    const { world, peer } = live()
    world.hear('stale')
    expect(world.states).toEqual(['live', 'stale: silent'])
    vi.advanceTimersByTime(499)
    expect(peer.restarts).toBe(0)
    vi.advanceTimersByTime(1)
    expect(peer.restarts).toBe(1)
    world.hear('lost')
    vi.advanceTimersByTime(3_000)
    expect(peer.restarts).toBe(2)
    vi.advanceTimersByTime(7_000)
    expect(peer.closed).toBe('replaced')
    expect(world.peers.length).toBe(2)
    expect(world.detached).toEqual([0])
    world.hear('live', 0) // of the old one: nothing
    expect(world.states.at(-1)).toBe('lost: silent for 3 s')
    world.hear('live')
    expect(world.states.at(-1)).toBe('live')
    expect(vi.getTimerCount()).toBe(0)
  })

  test('back on the same connection after a restart: nothing else happens', () => {
    const { world, peer } = live()
    world.hear('stale')
    vi.advanceTimersByTime(600)
    world.hear('live')
    vi.advanceTimersByTime(60_000)
    expect(peer.restarts).toBe(1)
    expect(world.peers.length).toBe(1)
    expect(world.states).toEqual(['live', 'stale: silent', 'live'])
  })

  test('a gateway that was killed and started again is taken at once, under its new id', () => {
    const { world, peer } = live()
    world.lose('p1')
    world.hear('stale')
    world.hear('lost')
    world.appear('p2')
    expect(peer.closed).toBe('replaced')
    expect(world.peers[1]!.remote).toBe('p2')
    world.hear('live')
    expect(world.states).toEqual(['live', 'stale: silent', 'lost: silent for 3 s', 'live'])
  })

  test('started again before the silence was noticed: taken with the first notice', () => {
    const { world } = live()
    world.lose('p1')
    world.appear('p2')
    expect(world.peers.length).toBe(1)
    world.hear('stale')
    expect(world.peers.map(({ remote }) => remote)).toEqual(['p1', 'p2'])
  })

  test('leaves and comes back: lost meanwhile', () => {
    const { world, peer } = live()
    world.members = []
    peer.close('left')
    expect(world.states.at(-1)).toBe('lost: left')
    vi.advanceTimersByTime(60_000)
    expect(world.peers.length).toBe(1)
    expect(vi.getTimerCount()).toBe(0)
    world.appear('p3')
    expect(world.peers[1]!.remote).toBe('p3')
  })

  test('a connection that fails again and again is made anew with a growing wait', () => {
    const { world } = live()
    const waits: number[] = []
    for (let i = 0; i < 8; i++) {
      world.peers.at(-1)!.close('failed')
      const before = Date.now()
      vi.advanceTimersToNextTimer()
      waits.push(Date.now() - before)
      expect(world.peers.length).toBe(i + 2)
    }
    expect(waits).toEqual([125, 250, 500, 1000, 2000, 2500, 2500, 2500])
  })

  test('without a first frame the connection is made anew', () => {
    const world = new World()
    world.appear('p1')
    world.viewer()
    vi.advanceTimersByTime(viewerTiming.replaceAfter)
    expect(world.peers.map(({ closed }) => closed)).toEqual(['replaced', undefined])
    expect(world.states).toEqual([])
  })

  test.each(['access_ended', 'token_expired'])('%s ends it for good', (reason) => {
    const { world, viewer, peer } = live()
    peer.close(reason)
    world.appear('p9')
    vi.advanceTimersByTime(60_000)
    expect(viewer.state).toBe('ended')
    expect(world.states.at(-1)).toBe(`ended: ${reason}`)
    expect(world.peers.length).toBe(1)
    expect(world.listening).toBe(0)
  })

  test('close leaves nothing behind', async () => {
    const { world, viewer, peer } = live()
    const past = expect(viewer.history(60, null)).rejects.toThrow('the connection has ended: closed')
    viewer.close()
    viewer.close()
    await past
    expect(peer.closed).toBe('closed')
    expect(world.detached).toEqual([0])
    expect(vi.getTimerCount()).toBe(0)
    const states: ViewerState[] = [viewer.state]
    expect(states).toEqual(['ended'])
    await expect(viewer.history(60, null)).rejects.toMatchObject({ code: 'closed' })
    await expect(viewer.gatewayStats()).rejects.toMatchObject({ code: 'closed' })
  })

  test('never has two connections or two timers, whatever happens', () => {
    const world = new World()
    const viewer = world.viewer()
    let state = 11
    const random = (n: number) => ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 8) % n
    for (let i = 0; i < 5000; i++) {
      const peer = world.peers.at(-1)
      switch (random(7)) {
        case 0: world.appear(`p${random(3)}`); break
        case 1: world.lose(`p${random(3)}`); break
        case 2: world.members = []; break
        case 3: world.hear((['live', 'stale', 'lost', 'waiting'] as const)[random(4)]!, random(world.attached.length + 1)); break
        case 4: peer?.close((['failed', 'left', 'bye'] as const)[random(3)]); break
        default: vi.advanceTimersByTime(random(4000))
      }
      expect(world.peers.filter(({ closed }) => closed === undefined).length).toBeLessThanOrEqual(1)
      expect(vi.getTimerCount()).toBeLessThanOrEqual(1)
      expect(world.attached.length - world.detached.length).toBe(world.peers.filter(({ closed }) => closed === undefined).length)
    }
    viewer.close()
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('control and history', () => {
  function frame(request: number, last: boolean, times: number[]): ArrayBuffer {
    const record = encodeRecord(times.map((time) => ({ device: 'press-01', metric: 'temperature', time, value: time / 10 })))
    const out = new Uint8Array(8 + record.length)
    out[0] = 16
    out[1] = last ? 1 : 0
    new DataView(out.buffer).setUint32(4, request, true)
    out.set(record, 8)
    return out.buffer
  }

  test('the last minute, whether the message or the frames come first', async () => {
    const { viewer, peer } = live()
    const control = peer.channel('control')
    const history = peer.channel('history')
    const done = (id: number, frames: number, events: number) =>
      control.onmessage!({ data: JSON.stringify({ type: 'history', id, events, frames, done: true }) })
    const first = viewer.history(60, ['press-01'])
    expect(control.sent.at(-1)).toEqual({ type: 'history', id: 1, seconds: 60, devices: ['press-01'] })
    done(1, 2, 3)
    history.onmessage!({ data: frame(1, false, [10, 20]) })
    history.onmessage!({ data: frame(1, true, [30]) })
    expect(await first).toEqual([{ device: 'press-01', metric: 'temperature', times: [10, 20, 30], values: [1, 2, 3], qualities: [0, 0, 0] }])
    const second = viewer.history(60, null)
    const third = viewer.history(60, null)
    history.onmessage!({ data: frame(3, true, [7]) })
    history.onmessage!({ data: frame(2, true, [8]) })
    done(2, 1, 1)
    done(3, 1, 1)
    expect((await second)[0]!.times).toEqual([8])
    expect((await third)[0]!.times).toEqual([7])
    const none = viewer.history(1, null)
    done(4, 0, 0)
    expect(await none).toEqual([])
    expect(vi.getTimerCount()).toBe(0)
  })

  test('failures are told to who asked', async () => {
    const { world, viewer, peer } = live()
    const control = peer.channel('control')
    const history = peer.channel('history')
    const rejected = expect(viewer.history(60, ['nobody'])).rejects.toMatchObject({ code: 'gateway', message: 'too_many_requests: wait' })
    control.onmessage!({ data: JSON.stringify({ type: 'error', code: 'too_many_requests', message: 'wait', id: 1 }) })
    await rejected
    const damaged = expect(viewer.history(60, null)).rejects.toMatchObject({ code: 'record' })
    const bytes = new Uint8Array(frame(2, true, [1, 2]))
    history.onmessage!({ data: bytes.slice(0, 20).buffer })
    await damaged
    const late = expect(viewer.history(60, null)).rejects.toThrow('no history within 20 s')
    vi.advanceTimersByTime(20_000)
    await late
    history.onmessage!({ data: frame(3, true, [1]) }) // nobody waits for it any more
    history.onmessage!({ data: 'a text' })
    expect(world.errors.map(({ code }) => code)).toEqual(['record', 'frame'])
    expect(viewer.state).toBe('live')
  })

  test('ready and stats', async () => {
    const ready: unknown[] = []
    const { viewer, peer } = live({ onready: (r) => ready.push(r) })
    const control = peer.channel('control')
    control.onmessage!({ data: JSON.stringify({ type: 'ready', gateway: 'gw-0', devices: ['a', 5], cameras: [{ name: 'a', codec: 'h264', width: 640, height: 360, fps: 30 }, 7] }) })
    expect(ready).toEqual([{ type: 'ready', gateway: 'gw-0', devices: ['a'], cameras: [{ name: 'a', codec: 'h264', width: 640, height: 360, fps: 30 }] }])
    const stats = viewer.gatewayStats()
    control.onmessage!({ data: JSON.stringify({ type: 'stats', delivered: 12 }) })
    expect(await stats).toEqual({ delivered: 12 })
  })

  test.each([
    [new ArrayBuffer(3), 'the message is not a text'], ['x'.repeat((256 << 10) + 1), 'want at most 262144'], ['{', 'not valid JSON'],
    ['[]', 'not an object'], ['null', 'not an object'], ['{}', 'member "type" is not a text'], ['{"type":"ready"}', '"gateway" is not a text'],
    ['{"type":"history","id":"1"}', 'must be numbers'], ['{"type":"error"}', '"code" is not a text'],
  ])('a message that is not valid is reported: %#', (data, text) => {
    const { world, viewer, peer } = live()
    peer.channel('control').onmessage!({ data })
    expect(world.errors.map(({ message }) => message).join()).toContain(text)
    peer.channel('control').onmessage!({ data: '{"type":"later"}' })
    expect(world.errors.length).toBe(1)
    expect(viewer.state).toBe('live')
  })
})
