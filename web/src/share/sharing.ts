import { Connections, type ConnectionsSignaling } from '../rtc/connections.ts'
import { Emitter } from '../rtc/emitter.ts'
import type { Peer } from '../rtc/peer.ts'
import type { Roster } from '../rtc/roster.ts'
import { Call } from './call.ts'
import type { FilesOptions } from './files.ts'
import { LocalMedia } from './media.ts'

export interface SharingEvents {
  /** A call began, by this person or by the other. */
  call: Call
}

export interface SharingOptions {
  media?: LocalMedia
  configuration?: RTCConfiguration
  files?: FilesOptions
}

/** Connections of this kind begin so; others, such as those to gateways, are not of people. */
const prefix = 'share-'

/**
 * Times in ms. retry: between two attempts to connect a call again; wait: for the other side to do it; glare: for the
 * offer of the other side, after it has rejected this one's.
 */
const timing = { retry: 1_000, wait: 120_000, glare: 10_000 } as const

/** The calls of this person with others in the rooms of its client: one with each. */
export class Sharing extends Emitter<SharingEvents> {
  readonly media: LocalMedia
  readonly connections: Connections
  readonly #options: SharingOptions
  readonly #calls = new Map<string, Call>()
  readonly #timers = new Map<Call, ReturnType<typeof setTimeout>>()

  constructor(client: ConnectionsSignaling, options: SharingOptions = {}) {
    super()
    this.#options = options
    this.media = options.media ?? new LocalMedia()
    this.connections = new Connections(client, {
      accept: (from, connection) => this.#accept(from, connection),
      ...(options.configuration === undefined ? {} : { configuration: options.configuration }),
    })
    this.connections.on('incoming', (peer) => this.#incoming(peer))
    this.connections.roster.on('left', ({ member, reason }) => this.#calls.get(member.peer)?.end(reason ?? 'left'))
  }

  get roster(): Roster {
    return this.connections.roster
  }

  calls(): Call[] {
    return [...this.#calls.values()]
  }

  /** Calls a person of a room; returns the call there is, if there is one. */
  call(peer: string): Call {
    const known = this.#calls.get(peer)
    if (known !== undefined) return known
    const call = this.#begin(peer)
    this.#open(call)
    this.emit('call', call)
    return call
  }

  close(): void {
    for (const call of this.calls()) call.end('hung up')
    this.connections.close()
    this.media.close()
    this.forgetListeners()
  }

  #begin(peer: string): Call {
    const member = this.roster.get(peer)
    if (member?.kind !== 'person') throw new Error(`${peer} is nobody in a common room`)
    const call = new Call(member, this.media, this.#options.files)
    this.#calls.set(peer, call)
    call.on('state', ({ state }) => {
      if (state === 'ended') {
        this.#calls.delete(peer)
        clearTimeout(this.#timers.get(call))
        this.#timers.delete(call)
      } else if (state === 'connected') {
        clearTimeout(this.#timers.get(call))
        this.#timers.delete(call)
      }
    })
    return call
  }

  #open(call: Call): void {
    const bytes = crypto.getRandomValues(new Uint8Array(12))
    const id = prefix + Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
    this.#bind(call, this.connections.open(call.member.peer, call.setup, id))
  }

  #bind(call: Call, peer: Peer): void {
    call.bind(peer)
    peer.on('state', ({ state, reason }) => {
      if (state !== 'closed' || call.peer !== peer || call.state === 'ended') return
      if (reason === 'failed' || reason === 'closed') { // the connection, not the call
        if (peer.initiator) this.#later(call, timing.retry, () => this.#open(call))
        else this.#later(call, timing.wait, () => call.end('failed'))
      } else if (reason === 'rejected' && peer.initiator) this.#later(call, timing.glare, () => call.end('rejected'))
      else call.end(reason ?? 'closed')
    })
  }

  /** Unless the call is connected or has ended by then. */
  #later(call: Call, ms: number, f: () => void): void {
    clearTimeout(this.#timers.get(call))
    this.#timers.set(call, setTimeout(f, ms))
  }

  #accept(from: string, connection: string): ((pc: RTCPeerConnection) => void) | undefined {
    const member = this.roster.get(from)
    if (!connection.startsWith(prefix) || member?.kind !== 'person') return undefined
    const known = this.#calls.get(from)
    // Both have called at once: the polite one gives way, here as in the negotiation.
    if (known?.state === 'connecting' && known.peer?.initiator === true && !member.polite) return undefined
    return (known ?? this.#begin(from)).setup
  }

  #incoming(peer: Peer): void {
    const call = this.#calls.get(peer.remote)!
    const before = call.peer
    this.#bind(call, peer)
    if (before === undefined) this.emit('call', call)
    else before.close('replaced')
  }
}
