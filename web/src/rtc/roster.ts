import { Emitter } from './emitter.ts'
import { graceSeconds, type PeerInfo } from './protocol.ts'
import type { SignalingClient } from './signaling.ts'

/** lost: the peer has no socket at the moment; its peer connections go on. */
export interface Member extends Omit<PeerInfo, 'lost'> {
  sites: Set<string>
  lost: boolean
}

export interface RosterEvents {
  joined: Member
  lost: Member
  back: Member
  /** The peer is in no common room any more. reason is access_ended when its right has ended, or this side's. */
  left: { member: Member; reason?: string }
}

/** The other peers of the rooms of this client. */
export class Roster extends Emitter<RosterEvents> {
  readonly #members = new Map<string, Member>()
  readonly #missing = new Map<string, ReturnType<typeof setTimeout>>()
  readonly #off: (() => void)[]

  constructor(client: Pick<SignalingClient, 'on'>) {
    super()
    this.#off = [
      client.on('joined', ({ site, peers }) => {
        for (const peer of peers) this.#enter(site, peer, peer.lost === true ? 'lost' : 'back')
        const present = new Set(peers.map(({ peer }) => peer))
        for (const member of this.#members.values()) {
          if (member.sites.has(site) && !present.has(member.peer)) this.#miss(site, member)
        }
      }),
      client.on('peer', ({ site, state, reason, ...peer }) => {
        if (state === 'left') this.#leave(site, peer.peer, reason)
        else this.#enter(site, peer, state)
      }),
      client.on('left', ({ site, reason }) => {
        for (const member of [...this.#members.values()]) this.#leave(site, member.peer, reason)
      }),
    ]
  }

  get(peer: string): Member | undefined {
    return this.#members.get(peer)
  }

  members(): Member[] {
    return [...this.#members.values()]
  }

  close(): void {
    for (const off of this.#off) off()
    for (const timer of this.#missing.values()) clearTimeout(timer)
    this.#missing.clear()
    this.#members.clear()
    this.forgetListeners()
  }

  #enter(site: string, { peer, kind, name, polite }: PeerInfo, state: 'joined' | 'lost' | 'back'): void {
    clearTimeout(this.#missing.get(key(site, peer)))
    this.#missing.delete(key(site, peer))
    const known = this.#members.get(peer)
    if (known === undefined) {
      const member = { peer, kind, name, polite, sites: new Set([site]), lost: state === 'lost' }
      this.#members.set(peer, member)
      this.emit('joined', member)
      return
    }
    known.sites.add(site)
    if (known.lost === (state === 'lost')) return
    known.lost = state === 'lost'
    this.emit(known.lost ? 'lost' : 'back', known)
  }

  #miss(site: string, member: Member): void {
    if (this.#missing.has(key(site, member.peer))) return
    if (!member.lost) {
      member.lost = true
      this.emit('lost', member)
    }
    // After a reconnect of all it may still be on its way back.
    this.#missing.set(key(site, member.peer), setTimeout(() => this.#leave(site, member.peer, 'lost'), graceSeconds * 1000))
  }

  #leave(site: string, peer: string, reason: string | undefined): void {
    clearTimeout(this.#missing.get(key(site, peer)))
    this.#missing.delete(key(site, peer))
    const member = this.#members.get(peer)
    if (member === undefined || !member.sites.delete(site) || member.sites.size > 0) return
    this.#members.delete(peer)
    this.emit('left', { member, ...(reason === undefined ? {} : { reason }) })
  }
}

const key = (site: string, peer: string) => `${site}\n${peer}`
