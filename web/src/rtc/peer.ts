import { RemoteCandidates } from './candidates.ts'
import { Emitter } from './emitter.ts'
import { SignalingError } from './error.ts'
import type { CandidateBody, Signal } from './messages.ts'
import type { ICEServer } from './protocol.ts'

/** What a peer needs of signaling. */
export interface PeerSignaling {
  send(to: string, signal: Signal): void
  /** New ICE servers with credentials; a rejection means that there are none now. */
  ice(): Promise<ICEServer[]>
}

/** interrupted: the path is lost, and the peer tries to find another. closed: for good. */
export type PeerState = 'connecting' | 'connected' | 'interrupted' | 'closed'

export interface PeerEvents {
  state: { state: PeerState; reason?: string }
  track: RTCTrackEvent
  channel: RTCDataChannel
  /** A message of the remote peer that was rejected, or ICE servers that are unavailable. The connection goes on. */
  error: SignalingError
}

export interface PeerOptions {
  signaling: PeerSignaling
  /** The id of the remote peer. */
  remote: string
  /** The id of this connection, chosen by the peer that starts it. */
  connection: string
  /** Whether this side gives way when both offer at once; the service says so. */
  polite: boolean
  /** Whether this side started the connection: it is the first to restart ICE. */
  initiator: boolean
  configuration?: RTCConfiguration
  /** Adds channels and tracks, before the first offer or answer. */
  setup?: (pc: RTCPeerConnection) => void
  create?: (configuration: RTCConfiguration) => RTCPeerConnection
}

/** Times in ms. */
export const peerTiming = {
  /** ICE servers are waited for as long. */
  ice: 3_000,
  /** From disconnected to the restart; the other side leaves the initiator time to be first. */
  restartAfter: { initiator: 2_000, other: 4_500 },
  restartAgain: 5_000,
  /** An offer without an answer is sent again: it may have been lost with a socket of either side. */
  offerAgain: 4_000,
  /** A peer that was never or is no longer connected for as long is closed. */
  giveUp: 60_000,
} as const

/** Local candidates that are sent again after a reconnect. */
const localLimit = 64

type Timer = ReturnType<typeof setTimeout>

/**
 * One peer connection by perfect negotiation (W3C WebRTC, 10.7) over signaling. Everything that changes the negotiation
 * is done by one queue, one after the other, so that no description meets a half-made one.
 */
export class Peer extends Emitter<PeerEvents> {
  readonly pc: RTCPeerConnection
  readonly remote: string
  readonly connection: string
  /** Whether this side started the connection. */
  readonly initiator: boolean
  readonly candidates = new RemoteCandidates()
  readonly counters = { offers: 0, answers: 0, restarts: 0, rollbacks: 0, ignored: 0 }
  readonly #options: PeerOptions
  #state: PeerState = 'connecting'
  #queue: Promise<void>
  #ignoring = false
  #sentAgain = false
  #local: Signal[] = []
  #localFragment: string | undefined
  #restartTimer: Timer | undefined
  #offerTimer: Timer | undefined
  #giveUpTimer: Timer | undefined

  constructor(options: PeerOptions) {
    super()
    this.#options = options
    this.remote = options.remote
    this.connection = options.connection
    this.initiator = options.initiator
    const configuration: RTCConfiguration = { bundlePolicy: 'max-bundle', ...options.configuration }
    const pc = (options.create ?? ((c) => new RTCPeerConnection(c)))(configuration)
    this.pc = pc
    pc.onnegotiationneeded = () => this.#run(() => this.#offer())
    pc.onicecandidate = ({ candidate }) => this.#sendCandidate(candidate)
    pc.onconnectionstatechange = () => this.#changed()
    pc.ontrack = (event) => this.emit('track', event)
    pc.ondatachannel = ({ channel }) => this.emit('channel', channel)
    this.#queue = this.#refreshServers() // before the first offer or answer
    this.#giveUpTimer = setTimeout(() => this.close('failed'), peerTiming.giveUp)
    options.setup?.(pc)
  }

  get state(): PeerState {
    return this.#state
  }

  /** Handles a message of the remote peer about this connection, after those before it. */
  receive(signal: Signal): void {
    switch (signal.type) {
      case 'bye':
        return this.#end(signal.reason ?? 'bye')
      case 'candidate':
        return this.#run(() => this.#candidate(signal))
      default:
        this.#run(() => this.#description(signal.type, signal.sdp))
    }
  }

  /** Looks for another path (ICE restart) with new credentials: the network has changed. */
  restart(): void {
    if (this.#state === 'closed') return
    this.counters.restarts++
    clearTimeout(this.#restartTimer)
    this.#restartTimer = setTimeout(() => {
      if (this.pc.connectionState !== 'connected') this.restart()
    }, peerTiming.restartAgain)
    this.#run(async () => {
      await this.#refreshServers()
      this.pc.restartIce() // negotiationneeded follows
    })
  }

  /**
   * Signaling is back, and messages may have been lost meanwhile: sends what the remote peer may lack. Does nothing for
   * a peer that is connected with nothing open.
   */
  repeat(): void {
    this.#run(async () => {
      if (this.pc.signalingState === 'have-local-offer') this.#sendOffer()
      else if (this.pc.connectionState !== 'connected') for (const candidate of this.#local) this.#send(candidate)
    })
  }

  /** Closes the connection and says so to the remote peer. */
  close(reason?: string): void {
    if (this.#state === 'closed') return
    this.#send({ type: 'bye', connection: this.connection, ...(reason === undefined ? {} : { reason }) })
    this.#end(reason ?? 'closed')
  }

  #send(signal: Signal): void {
    this.#options.signaling.send(this.remote, signal)
  }

  #run(step: () => Promise<void>): void {
    this.#queue = this.#queue.then(async () => {
      if (this.#state === 'closed') return
      try {
        await step()
      } catch (cause) {
        if (this.pc.signalingState !== 'closed') this.emit('error', failure('invalid_message', 'the negotiation failed', cause))
      }
    })
  }

  async #refreshServers(): Promise<void> {
    let timer: Timer | undefined
    try {
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new SignalingError('timeout', `no ICE servers within ${peerTiming.ice} ms`)), peerTiming.ice)
      })
      const iceServers = await Promise.race([this.#options.signaling.ice(), late])
      if (this.#state !== 'closed') this.pc.setConfiguration({ ...this.pc.getConfiguration(), iceServers })
    } catch (cause) {
      // Host candidates and the servers of before may do.
      this.emit('error', failure('unavailable', 'ICE servers are unavailable', cause))
    } finally {
      clearTimeout(timer)
    }
  }

  async #offer(): Promise<void> {
    // In another state it comes again once the present negotiation is done.
    if (this.pc.signalingState !== 'stable') return
    await this.pc.setLocalDescription()
    // Between the two the browser can have closed the connection.
    if ((this.pc.signalingState as RTCSignalingState) !== 'have-local-offer') return
    this.counters.offers++
    this.#sentAgain = false
    this.#sendOffer()
  }

  #sendOffer(): void {
    const sdp = this.pc.localDescription!.sdp
    this.#send({ type: 'offer', connection: this.connection, sdp })
    clearTimeout(this.#offerTimer)
    this.#offerTimer = setTimeout(() => {
      if (this.pc.signalingState !== 'have-local-offer') return
      this.#sentAgain = true
      this.#sendOffer()
    }, peerTiming.offerAgain)
  }

  async #description(type: 'offer' | 'answer', sdp: string): Promise<void> {
    const pc = this.pc
    if (type === 'answer') {
      if (pc.signalingState !== 'have-local-offer') return // to an offer that was sent again, or rolled back
      if (this.#sentAgain && origin(sdp) === origin(pc.currentRemoteDescription?.sdp)) return
      await this.#setRemote(type, sdp)
      clearTimeout(this.#offerTimer)
      return
    }
    const collision = pc.signalingState !== 'stable'
    this.#ignoring = collision && !this.#options.polite
    if (this.#ignoring) {
      this.counters.ignored++
      return
    }
    const before = pc.currentRemoteDescription
    if (!collision && before?.type === 'offer' && pc.localDescription?.type === 'answer' && origin(before.sdp) === origin(sdp)) {
      this.#sendAnswer() // the answer was lost
      return
    }
    if (before !== null && !sameGeneration(before.sdp, sdp)) await this.#refreshServers()
    if (collision) this.counters.rollbacks++
    if (!await this.#setRemote(type, sdp)) return
    await pc.setLocalDescription()
    this.counters.answers++
    this.#sendAnswer()
  }

  #sendAnswer(): void {
    this.#send({ type: 'answer', connection: this.connection, sdp: this.pc.localDescription!.sdp })
  }

  async #setRemote(type: 'offer' | 'answer', sdp: string): Promise<boolean> {
    try {
      await this.pc.setRemoteDescription({ type, sdp }) // rolls back an own offer
    } catch (cause) {
      this.emit('error', failure('invalid_sdp', `the ${type} was rejected`, cause))
      return false
    }
    this.#ignoring = false
    for (const candidate of this.candidates.describe(sdp)) await this.#add(candidate)
    return true
  }

  async #candidate(candidate: CandidateBody): Promise<void> {
    if (this.candidates.sort(candidate) === 'use') await this.#add(candidate)
  }

  async #add({ candidate, sdpMid, sdpMLineIndex, usernameFragment }: CandidateBody): Promise<void> {
    try {
      await this.pc.addIceCandidate({
        candidate: candidate ?? '',
        ...((sdpMid ?? sdpMLineIndex ?? undefined) === undefined ? { sdpMLineIndex: 0 } : {}),
        ...(sdpMid == null ? {} : { sdpMid }),
        ...(sdpMLineIndex == null ? {} : { sdpMLineIndex }),
        ...(usernameFragment == null ? {} : { usernameFragment }),
      })
    } catch (cause) {
      if (!this.#ignoring) this.emit('error', failure('invalid_candidate', 'a candidate was rejected', cause))
    }
  }

  #sendCandidate(candidate: RTCIceCandidate | null): void {
    if (this.#state === 'closed') return
    const signal: Signal = candidate === null
      ? { type: 'candidate', connection: this.connection, candidate: null, ...(this.#localFragment === undefined ? {} : { usernameFragment: this.#localFragment }) }
      : {
          type: 'candidate', connection: this.connection, candidate: candidate.candidate,
          ...(candidate.sdpMid === null ? {} : { sdpMid: candidate.sdpMid }),
          ...(candidate.sdpMLineIndex === null ? {} : { sdpMLineIndex: candidate.sdpMLineIndex }),
          ...(candidate.usernameFragment === null ? {} : { usernameFragment: candidate.usernameFragment }),
        }
    if (signal.usernameFragment !== this.#localFragment) {
      this.#localFragment = signal.usernameFragment ?? undefined
      this.#local = []
    }
    if (this.#local.length < localLimit) this.#local.push(signal)
    this.#send(signal)
  }

  #changed(): void {
    const { initiator } = this
    switch (this.pc.connectionState) {
      case 'connected':
        clearTimeout(this.#restartTimer)
        clearTimeout(this.#giveUpTimer)
        this.#giveUpTimer = undefined
        return this.#setState('connected')
      case 'disconnected':
        this.#interrupted(initiator ? peerTiming.restartAfter.initiator : peerTiming.restartAfter.other)
        return
      case 'failed':
        this.#interrupted(initiator ? 0 : peerTiming.restartAfter.other - peerTiming.restartAfter.initiator)
        return
      case 'closed':
        return this.#end('closed')
    }
  }

  #interrupted(restartAfter: number): void {
    this.#setState('interrupted')
    clearTimeout(this.#restartTimer)
    this.#restartTimer = setTimeout(() => this.restart(), restartAfter)
    this.#giveUpTimer ??= setTimeout(() => this.close('failed'), peerTiming.giveUp)
  }

  #setState(state: PeerState, reason?: string): void {
    if (this.#state === state || this.#state === 'closed') return
    this.#state = state
    this.emit('state', { state, ...(reason === undefined ? {} : { reason }) })
  }

  #end(reason: string): void {
    if (this.#state === 'closed') return
    for (const timer of [this.#restartTimer, this.#offerTimer, this.#giveUpTimer]) clearTimeout(timer)
    const pc = this.pc
    pc.onnegotiationneeded = pc.onicecandidate = pc.onconnectionstatechange = pc.ontrack = pc.ondatachannel = null
    pc.close()
    this.#setState('closed', reason)
    this.forgetListeners()
  }
}

/** The o= line, which differs from one description of a peer to the next (RFC 9429, 5.2.2). */
function origin(sdp: string | undefined): string | undefined {
  return sdp?.match(/^o=.*$/m)?.[0]?.trimEnd()
}

function sameGeneration(a: string, b: string): boolean {
  const ufrag = (sdp: string) => sdp.match(/^a=ice-ufrag:(\S+)/m)?.[1]
  return ufrag(a) === ufrag(b)
}

function failure(code: 'invalid_sdp' | 'invalid_candidate' | 'invalid_message' | 'unavailable', what: string, cause: unknown): SignalingError {
  return new SignalingError(code, `${what}: ${cause instanceof Error ? cause.message : String(cause)}`)
}
