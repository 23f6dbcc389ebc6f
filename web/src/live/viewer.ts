import { decodeControl, type Camera, type ControlMessage } from './control.ts'
import { LiveError } from './error.ts'
import { channels } from './frames.ts'
import { HistoryRequests, type PastSeries } from './history.ts'
import type { Liveness } from './pipeline.ts'

/**
 * How the gateway is seen. connecting: not seen yet. stale: silent for 1.5 s. lost: silent for 3 s, or not present; the
 * viewer tries to get it back. ended: for good, by close() or since the right to see it has ended.
 */
export type ViewerState = 'connecting' | 'live' | 'stale' | 'lost' | 'ended'

/** What the viewer needs of a peer connection; web/src/rtc has it. */
export interface PeerPort {
  readonly pc: RTCPeerConnection
  on(kind: 'state', listener: (event: { state: string; reason?: string }) => void): () => void
  on(kind: 'track', listener: (event: RTCTrackEvent) => void): () => void
  restart(): void
  close(reason?: string): void
}

export interface MemberPort {
  readonly peer: string
  readonly kind: string
  readonly name: string
  readonly lost: boolean
}

/** What it needs of the connections of the page. */
export interface ConnectionsPort {
  readonly roster: {
    members(): MemberPort[]
    on(kind: 'joined' | 'back', listener: (member: MemberPort) => void): () => void
  }
  open(remote: string, setup: (pc: RTCPeerConnection) => void): PeerPort
}

/** What it needs of the worker; LiveFeed has it. */
export interface FeedPort {
  onliveness: ((connection: number, liveness: Liveness) => void) | undefined
  attach(pc: RTCPeerConnection): number
  detach(connection: number): void
}

export interface ViewerOptions {
  connections: ConnectionsPort
  feed: FeedPort
  /** The gateway's name, by which it is found again when it was restarted. */
  gateway: string
  /** Devices whose values are wanted; null: all. */
  devices?: readonly string[] | null
  /** The most values a second of each series; all if left out. */
  maxHz?: number
  /** Whether to receive a camera. */
  video?: boolean
  onstate?: (state: ViewerState, reason: string) => void
  onready?: (ready: { gateway: string; devices: string[]; cameras: Camera[] }) => void
  ontrack?: (event: RTCTrackEvent) => void
  /** A message that is not valid or was rejected; the connection goes on. */
  onerror?: (cause: LiveError) => void
  /** In [0, 1), for the backoff. */
  random?: () => number
}

/** Times in ms. */
export const viewerTiming = {
  /** Of silence, before another path is looked for: before the browser notices, which takes it 6 s. */
  restartAfter: 2_000,
  restartAgain: 3_000,
  /** Of silence, or without a first frame, before a new connection replaces the present one. */
  replaceAfter: 12_000,
  backoffFirst: 250,
  backoffMost: 5_000,
} as const

/** Reasons of an end after which the gateway may not be seen any more. */
const forGood = new Set(['access_ended', 'token_expired', 'unauthorized', 'forbidden', 'subject_mismatch'])

type Timer = ReturnType<typeof setTimeout>

/** One connection to the gateway. */
interface Attempt {
  peer: PeerPort
  remote: string
  feed: number
  control: RTCDataChannel
  history: HistoryRequests
}

/**
 * Sees one gateway live: connects to it, subscribes, and gets it back when it is lost. There is at most one connection
 * and one timer at any time.
 */
export class LiveViewer {
  readonly #options: ViewerOptions
  readonly #random: () => number
  readonly #off: (() => void)[]
  #state: ViewerState = 'connecting'
  #attempt: Attempt | undefined
  #timer: Timer | undefined
  #failures = 0
  #connections = 0
  #statsWaiting: ((counters: Record<string, unknown>) => void)[] = []
  #devices: readonly string[] | null
  #maxHz: number | undefined
  #camera: string | null = null

  constructor(options: ViewerOptions) {
    this.#options = options
    this.#random = options.random ?? Math.random
    this.#devices = options.devices ?? null
    this.#maxHz = options.maxHz
    const { connections, feed } = options
    const present = (member: MemberPort) => {
      if (member.kind === 'gateway' && member.name === options.gateway) this.#appeared(member)
    }
    this.#off = [connections.roster.on('joined', present), connections.roster.on('back', present)]
    feed.onliveness = (connection, liveness) => {
      if (this.#attempt?.feed === connection) this.#heard(liveness)
    }
    this.#open()
  }

  get state(): ViewerState {
    return this.#state
  }

  /** How many connections were made: more than one if the first was given up. */
  get connections(): number {
    return this.#connections
  }

  /** The present peer connection, for its statistics. */
  get pc(): RTCPeerConnection | undefined {
    return this.#attempt?.peer.pc
  }

  /** Changes what is wanted, now and after each reconnect. */
  subscribe(devices: readonly string[] | null, maxHz?: number): void {
    this.#devices = devices
    this.#maxHz = maxHz
    this.#subscribe()
  }

  /** Chooses what the video track shows; null: nothing. */
  camera(name: string | null): void {
    this.#camera = name
    this.#send({ type: 'camera', name })
  }

  /** The events that the gateway read in the last seconds. Rejects with a LiveError. */
  history(seconds: number, devices: readonly string[] | null): Promise<PastSeries[]> {
    const attempt = this.#attempt
    if (attempt === undefined) return Promise.reject(new LiveError('closed', 'not connected to the gateway'))
    return attempt.history.request((id) => attempt.control.send(JSON.stringify({ type: 'history', id, seconds, devices })))
  }

  /** The gateway's counters of this connection. Rejects when it is not connected. */
  gatewayStats(): Promise<Record<string, unknown>> {
    return new Promise((resolve, reject) => {
      if (!this.#send({ type: 'stats' })) reject(new LiveError('closed', 'not connected to the gateway'))
      else this.#statsWaiting.push(resolve)
    })
  }

  close(): void {
    this.#end('closed')
  }

  #open(): void {
    if (this.#state === 'ended' || this.#attempt !== undefined) return
    const { connections, feed, video } = this.#options
    const member = this.#member()
    if (member === undefined) {
      if (this.#state !== 'connecting') this.#setState('lost', 'the gateway is not present')
      return // until it appears
    }
    this.#connections++
    let number = -1
    let control: RTCDataChannel | undefined
    const history = new HistoryRequests()
    const peer = connections.open(member.peer, (pc) => {
      control = pc.createDataChannel(channels.control.label, channels.control.init)
      number = feed.attach(pc)
      const past = pc.createDataChannel(channels.history.label, channels.history.init)
      past.binaryType = 'arraybuffer'
      past.onmessage = ({ data }: MessageEvent<unknown>) => this.#try(() => history.frame(data))
      if (video === true) pc.addTransceiver('video', { direction: 'recvonly' })
    })
    if (control === undefined) throw new Error('the connection was not set up')
    const attempt: Attempt = { peer, remote: member.peer, feed: number, control, history }
    this.#attempt = attempt
    control.onopen = () => {
      this.#subscribe()
      if (this.#camera !== null) this.#send({ type: 'camera', name: this.#camera })
    }
    control.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (this.#attempt === attempt) this.#control(attempt, data)
    }
    peer.on('track', (event) => this.#options.ontrack?.(event))
    peer.on('state', ({ state, reason }) => {
      if (state === 'closed' && this.#attempt === attempt) this.#closed(reason ?? 'closed')
    })
    this.#after(viewerTiming.replaceAfter, () => this.#replace('no data from the gateway'))
  }

  /** The gateway; of two with its name, one that was killed and the one that was started after it, the second. */
  #member(): MemberPort | undefined {
    const { connections, gateway } = this.#options
    const members = connections.roster.members().filter(({ kind, name }) => kind === 'gateway' && name === gateway)
    return members.filter(({ lost }) => !lost).at(-1) ?? members.at(-1)
  }

  #heard(liveness: Liveness): void {
    switch (liveness) {
      case 'live':
        this.#failures = 0
        clearTimeout(this.#timer)
        return this.#setState('live', '')
      case 'stale':
        this.#setState('stale', 'silent')
        this.#silent(1_500)
        return this.#succeed()
      case 'lost':
        return this.#setState('lost', 'silent for 3 s')
      case 'waiting':
    }
  }

  /** The gateway has been silent for so many ms: looks for another path again and again, and then connects anew. */
  #silent(millis: number): void {
    const { restartAfter, restartAgain, replaceAfter } = viewerTiming
    const next = millis < restartAfter ? restartAfter : millis + restartAgain
    this.#after(Math.min(next, replaceAfter) - millis, () => {
      if (next >= replaceAfter) return this.#replace('silent')
      this.#attempt?.peer.restart()
      this.#silent(next)
    })
  }

  /** A gateway with the name has come: another one than the one that is silent is taken at once. */
  #appeared(member: MemberPort): void {
    if (this.#attempt === undefined) this.#open()
    else if (this.#state === 'stale' || this.#state === 'lost') {
      if (this.#attempt.remote === member.peer) this.#attempt.peer.restart()
      else this.#succeed()
    }
  }

  /** Takes the gateway that was started after the silent one. */
  #succeed(): void {
    const member = this.#member()
    if (member !== undefined && !member.lost && member.peer !== this.#attempt?.remote) this.#replace('the gateway was started again')
  }

  /** Drops the present connection and makes another. */
  #replace(reason: string): void {
    const peer = this.#drop(reason)
    peer?.close('replaced')
    if (this.#state === 'ended') return
    if (this.#state !== 'connecting') this.#setState('lost', reason)
    this.#open()
  }

  /** The connection was closed by the other side, by signaling, or as no path was found. */
  #closed(reason: string): void {
    if (forGood.has(reason)) {
      this.#end(reason)
      return
    }
    this.#drop(reason)
    if (this.#state !== 'connecting') this.#setState('lost', reason)
    const { backoffFirst, backoffMost } = viewerTiming
    const most = Math.min(backoffMost, backoffFirst * 2 ** this.#failures++)
    this.#after(most * (0.5 + this.#random() / 2), () => this.#open())
  }

  #drop(reason: string): PeerPort | undefined {
    clearTimeout(this.#timer)
    const attempt = this.#attempt
    this.#attempt = undefined
    if (attempt === undefined) return undefined
    this.#options.feed.detach(attempt.feed)
    attempt.history.close(new LiveError('closed', `the connection has ended: ${reason}`))
    this.#statsWaiting = []
    return attempt.peer
  }

  #end(reason: string): void {
    if (this.#state === 'ended') return
    const peer = this.#drop(reason)
    for (const off of this.#off) off()
    this.#options.feed.onliveness = undefined
    this.#setState('ended', reason)
    peer?.close(reason)
  }

  #control(attempt: Attempt, data: unknown): void {
    const message = decodeControl(data)
    if (message === undefined) return
    if (typeof message === 'string') {
      this.#options.onerror?.(new LiveError('gateway', message))
      return
    }
    switch (message.type) {
      case 'ready':
        return this.#options.onready?.(message)
      case 'history':
        return attempt.history.done(message)
      case 'stats':
        return this.#statsWaiting.shift()?.(message.counters)
      case 'error':
        return this.#rejected(attempt, message)
    }
  }

  #rejected(attempt: Attempt, { code, message, id }: ControlMessage & { type: 'error' }): void {
    const cause = new LiveError('gateway', `${code}: ${message}`)
    if (id !== undefined) attempt.history.fail(id, cause)
    else this.#options.onerror?.(cause)
  }

  #subscribe(): void {
    this.#send({ type: 'subscribe', devices: this.#devices, ...(this.#maxHz === undefined ? {} : { max_hz: this.#maxHz }) })
  }

  #send(message: object): boolean {
    const control = this.#attempt?.control
    if (control?.readyState !== 'open') return false
    control.send(JSON.stringify(message))
    return true
  }

  #try(f: () => void): void {
    try {
      f()
    } catch (cause) {
      if (!(cause instanceof LiveError)) throw cause
      this.#options.onerror?.(cause)
    }
  }

  /** Sets the one timer. */
  #after(ms: number, f: () => void): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(f, Math.max(0, ms))
  }

  #setState(state: ViewerState, reason: string): void {
    if (this.#state === state || this.#state === 'ended') return
    this.#state = state
    this.#options.onstate?.(state, reason)
  }
}
