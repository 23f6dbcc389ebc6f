import { Emitter } from './emitter.ts'
import type { Incoming, Signal } from './messages.ts'
import { Peer, type PeerOptions } from './peer.ts'
import { Roster } from './roster.ts'
import type { SignalingClient } from './signaling.ts'

/** What this side adds to a connection before its first offer or answer. */
export type Setup = (pc: RTCPeerConnection) => void

/** What connections need of a SignalingClient. */
export type ConnectionsSignaling = Pick<SignalingClient, 'on' | 'send' | 'ice' | 'peer' | 'retryNow'>

export interface ConnectionsOptions {
  configuration?: RTCConfiguration
  create?: (configuration: RTCConfiguration) => RTCPeerConnection
  /**
   * Decides about a connection that another peer starts: a setup to accept it, undefined to reject it. Without it, all
   * are rejected.
   */
  accept?: (from: string, connection: string) => Setup | undefined
}

export interface ConnectionsEvents {
  /** An accepted connection of another peer. Its tracks and channels come later. */
  incoming: Peer
}

/** Candidates before the offer of their connection, and connections that have ended. */
const limits = { connections: 64, candidates: 128, ended: 256 }

/**
 * All peer connections over one signaling client, several with one peer if need be. They end when their peer leaves the
 * last common room or loses its right, not when it or this side loses the service.
 */
export class Connections extends Emitter<ConnectionsEvents> {
  readonly roster: Roster
  readonly #client: ConnectionsSignaling
  readonly #options: ConnectionsOptions
  readonly #peers = new Map<string, Peer>()
  readonly #early = new Map<string, Signal[]>()
  readonly #ended = new Set<string>()
  readonly #off: (() => void)[]

  constructor(client: ConnectionsSignaling, options: ConnectionsOptions = {}) {
    super()
    this.#client = client
    this.#options = options
    this.roster = new Roster(client)
    this.#off = [
      client.on('signal', (signal) => this.#receive(signal)),
      // Of a resumed session this side's messages can be lost, of another one those of both.
      client.on('welcome', () => {
        for (const peer of this.#peers.values()) peer.repeat()
      }),
      client.on('state', ({ state, reason }) => {
        if (state === 'closed' && reason?.code !== 'replaced') this.#closeAll(reason?.code ?? 'closed')
      }),
      this.roster.on('left', ({ member, reason }) => {
        // There is nobody to say bye to.
        for (const peer of this.peers(member.peer)) peer.receive({ type: 'bye', connection: peer.connection, reason: reason ?? 'left' })
      }),
    ]
  }

  /** Starts a connection with another peer; setup adds its channels and tracks. */
  open(remote: string, setup: Setup, connection: string = newConnection()): Peer {
    if (this.#peers.has(key(remote, connection))) throw new Error(`connection ${connection} exists already`)
    return this.#add(remote, connection, setup, true)
  }

  /** Those with one peer, or all. */
  peers(remote?: string): Peer[] {
    const all = [...this.#peers.values()]
    return remote === undefined ? all : all.filter((peer) => peer.remote === remote)
  }

  /** The network of this machine has changed: all connections look for another path, and signaling reconnects now. */
  networkChanged(): void {
    this.#client.retryNow()
    for (const peer of this.#peers.values()) peer.restart()
  }

  close(): void {
    for (const off of this.#off) off()
    this.#closeAll('closed')
    this.roster.close()
    this.forgetListeners()
  }

  #closeAll(reason: string): void {
    for (const peer of this.peers()) peer.close(reason)
  }

  #add(remote: string, connection: string, setup: Setup, initiator: boolean): Peer {
    const self = this.#client.peer
    const { configuration, create } = this.#options
    const options: PeerOptions = {
      signaling: this.#client, remote, connection, initiator, setup,
      // The service says so with the presence, which comes first; the rule holds in any case.
      polite: this.roster.get(remote)?.polite ?? (self !== undefined && self < remote),
      ...(configuration === undefined ? {} : { configuration }),
      ...(create === undefined ? {} : { create }),
    }
    const peer = new Peer(options)
    const id = key(remote, connection)
    this.#peers.set(id, peer)
    peer.on('state', ({ state }) => {
      if (state !== 'closed') return
      this.#peers.delete(id)
      this.#ended.add(id)
      if (this.#ended.size > limits.ended) this.#ended.delete(this.#ended.values().next().value!)
    })
    return peer
  }

  #receive({ from, ...signal }: Incoming): void {
    const id = key(from, signal.connection)
    const peer = this.#peers.get(id)
    if (peer !== undefined) return peer.receive(signal)
    switch (signal.type) {
      case 'candidate':
        return this.#keep(id, signal)
      case 'bye':
        this.#early.delete(id)
        return
      case 'answer':
        return this.#reject(from, signal.connection, 'no such connection')
    }
    if (this.#ended.has(id)) return this.#reject(from, signal.connection, 'the connection has ended')
    const setup = this.#options.accept?.(from, signal.connection)
    if (setup === undefined) return this.#reject(from, signal.connection, 'rejected')
    const accepted = this.#add(from, signal.connection, setup, false)
    this.emit('incoming', accepted)
    for (const candidate of this.#early.get(id) ?? []) accepted.receive(candidate)
    this.#early.delete(id)
    accepted.receive(signal)
  }

  #keep(id: string, candidate: Signal): void {
    if (this.#ended.has(id)) return
    let kept = this.#early.get(id)
    if (kept === undefined) {
      this.#early.set(id, (kept = []))
      if (this.#early.size > limits.connections) this.#early.delete(this.#early.keys().next().value!)
    }
    if (kept.length < limits.candidates) kept.push(candidate)
  }

  #reject(to: string, connection: string, reason: string): void {
    this.#client.send(to, { type: 'bye', connection, reason })
  }
}

const key = (remote: string, connection: string) => `${remote} ${connection}`

function newConnection(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12))
  return `c${[...bytes].map((b) => b.toString(16).padStart(2, '0')).join('')}`
}
