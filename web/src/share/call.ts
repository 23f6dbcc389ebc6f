import { Bucket } from '../rtc/bucket.ts'
import { Emitter } from '../rtc/emitter.ts'
import type { Peer } from '../rtc/peer.ts'
import type { Member } from '../rtc/roster.ts'
import { Board } from './annotations.ts'
import { ShareError } from './error.ts'
import { FileTransfers, type FilesOptions } from './files.ts'
import type { LocalMedia } from './media.ts'
import { channels, decode, limits, type MediaKind, type Picture, type Point, type ShareMessage } from './messages.ts'

/** interrupted: the connection is lost, and both sides try to get it back. */
export type CallState = 'connecting' | 'connected' | 'interrupted' | 'ended'

export interface RemoteTrack {
  track: MediaStreamTrack
  muted: boolean
}

export interface ChatLine {
  from: 'me' | 'them'
  text: string
  /** ms since the epoch, of the writer's clock. */
  sent: number
}

/** Whose picture: this person's or the other's. */
export interface Shown {
  whose: 'mine' | 'theirs'
  kind: 'camera' | 'screen'
}

export interface CallEvents {
  state: { state: CallState; reason?: string }
  /** The other person's tracks have changed. */
  remote: ReadonlyMap<MediaKind, RemoteTrack>
  chat: ChatLine
  drawn: Shown
  /** A message of the other person was rejected, or one of this person by the other. The call goes on. */
  error: ShareError
}

const kinds = ['camera', 'microphone', 'screen'] as const

/** Messages a second, beyond which those of the other person are dropped; those about files are limited by their window. */
const rate = { perSecond: 100, burst: 400 } as const

/** The channel's queue, in bytes, above which strokes and chat are not sent. */
const queueLimit = 1 << 20

/** What two people share: media, annotations, chat and files. It outlives its peer connection: see bind(). */
export class Call extends Emitter<CallEvents> {
  readonly member: Member
  readonly files: FileTransfers
  readonly #media: LocalMedia
  readonly #off: () => void
  readonly #boards = new Map<string, Board>()
  readonly #messages = new Bucket(rate.perSecond, rate.burst)
  readonly #complaints = new Bucket(1, 5)
  #senders = new Map<MediaKind, RTCRtpTransceiver>()
  #remote: Map<MediaKind, RemoteTrack> = new Map()
  #announced: (ShareMessage & { type: 'media' })['tracks'] = []
  #channel: RTCDataChannel | undefined
  #fileChannel: RTCDataChannel | undefined
  #pc: RTCPeerConnection | undefined
  #peer: Peer | undefined
  #state: CallState = 'connecting'
  #strokes = 0

  constructor(member: Member, media: LocalMedia, options: FilesOptions = {}) {
    super()
    this.member = member
    this.#media = media
    this.files = new FileTransfers(options)
    this.#off = media.on('changed', ({ kind }) => void this.#sync(kind).then(() => this.#announce()))
  }

  get state(): CallState {
    return this.#state
  }

  /** The connection in use; undefined between two. */
  get peer(): Peer | undefined {
    return this.#peer
  }

  get remote(): ReadonlyMap<MediaKind, RemoteTrack> {
    return this.#remote
  }

  /** The setup of a connection: channels and tracks, before its first description. */
  readonly setup = (pc: RTCPeerConnection): void => {
    this.#release()
    this.#pc = pc
    const share = pc.createDataChannel(channels.share.label, { negotiated: true, id: channels.share.id })
    const files = pc.createDataChannel(channels.files.label, { negotiated: true, id: channels.files.id })
    files.binaryType = 'arraybuffer'
    this.#channel = share
    this.#fileChannel = files
    share.onmessage = ({ data }) => this.#receive(() => this.#message(data))
    files.onmessage = ({ data }) => this.#receive(() => this.files.frame(data))
    share.onopen = files.onopen = () => {
      if (share.readyState !== 'open' || files.readyState !== 'open') return
      this.#announce()
      this.files.attach({ send: (message) => void this.#send(message), files })
    }
    share.onclose = files.onclose = () => this.files.detach()
    pc.addEventListener('signalingstatechange', () => {
      if (pc.signalingState !== 'stable') return
      this.#announce() // the ids of the tracks are known now
      this.#match()
    })
    for (const kind of kinds) void this.#sync(kind)
  }

  /** Takes the connection that was made with setup. */
  bind(peer: Peer): void {
    this.#peer = peer
    peer.on('track', () => this.#match())
    peer.on('state', ({ state }) => {
      if (peer !== this.#peer) return
      if (state !== 'closed') this.#setState(state)
      else {
        this.#release()
        this.#setState('interrupted')
      }
    })
  }

  /** Returns whether the line was sent; it is too long or the connection is lost otherwise. */
  chat(text: string): boolean {
    if (text === '' || text.length > limits.chat) return false
    const sent = Date.now()
    if (!this.#send({ type: 'chat', text, sent_ms: sent }, queueLimit)) return false
    this.emit('chat', { from: 'me', text, sent })
    return true
  }

  board(shown: Shown): Board {
    const key = `${shown.whose} ${shown.kind}`
    let board = this.#boards.get(key)
    if (board === undefined) this.#boards.set(key, (board = new Board()))
    return board
  }

  /** Begins a line on a picture. Returns a function that adds points to it, and returns whether they were sent. */
  stroke(shown: Shown, color: string): (points: Point[]) => boolean {
    const id = ++this.#strokes
    return (points) => {
      for (let at = 0; at < points.length; at += limits.points) {
        const part = points.slice(at, at + limits.points).map(([x, y]): Point => [round(x), round(y)])
        if (!this.#send({ type: 'stroke', id, on: outgoing(shown), color, points: part }, queueLimit)) return false
        this.board(shown).draw('me', id, color, part)
        this.emit('drawn', shown)
      }
      return true
    }
  }

  clear(shown: Shown): void {
    if (!this.#send({ type: 'clear', on: outgoing(shown) })) return
    this.board(shown).clear()
    this.emit('drawn', shown)
  }

  /** Ends the call; reason travels to the other side. */
  end(reason: string): void {
    if (this.#state === 'ended') return
    this.#off()
    this.files.close()
    const peer = this.#peer
    this.#peer = undefined
    this.#release()
    this.#setState('ended', reason)
    peer?.close(reason)
    this.forgetListeners()
  }

  #setState(state: CallState, reason?: string): void {
    if (this.#state === state || this.#state === 'ended') return
    this.#state = state
    this.emit('state', { state, ...(reason === undefined ? {} : { reason }) })
  }

  #release(): void {
    for (const channel of [this.#channel, this.#fileChannel]) {
      if (channel !== undefined) channel.onopen = channel.onclose = channel.onmessage = null
    }
    this.files.detach()
    this.#channel = this.#fileChannel = this.#pc = undefined
    this.#senders = new Map()
    this.#announced = []
    this.#match()
  }

  /** Makes the sender of the kind carry the local track; without one it stays for the next. */
  async #sync(kind: MediaKind): Promise<void> {
    const pc = this.#pc
    if (pc === undefined || pc.signalingState === 'closed') return
    const track = this.#media.track(kind)
    const known = this.#senders.get(kind)
    if (known === undefined) {
      if (track !== undefined) this.#senders.set(kind, pc.addTransceiver(track, { direction: 'sendonly' }))
      return
    }
    known.direction = track === undefined ? 'inactive' : 'sendonly'
    await known.sender.replaceTrack(track ?? null).catch(() => {}) // the connection was closed
  }

  /** Tells the other side which track is what. */
  #announce(): void {
    const tracks = [...this.#senders].flatMap(([kind, { mid }]) =>
      (mid === null || this.#media.track(kind) === undefined ? [] : [{ mid, kind, muted: this.#media.muted(kind) }]))
    this.#send({ type: 'media', tracks })
  }

  /** Brings together what was announced and what has come. */
  #match(): void {
    const remote = new Map<MediaKind, RemoteTrack>()
    const transceivers = this.#pc?.getTransceivers() ?? []
    for (const { mid, kind, muted } of this.#announced) {
      const transceiver = transceivers.find((t) => t.mid === mid)
      if (transceiver?.currentDirection?.includes('recv') !== true) continue
      const track = transceiver.receiver.track
      if ((track.kind === 'audio') === (kind === 'microphone')) remote.set(kind, { track, muted })
    }
    const same = remote.size === this.#remote.size
      && [...remote].every(([kind, { track, muted }]) => this.#remote.get(kind)?.track === track && this.#remote.get(kind)?.muted === muted)
    if (same) return
    this.#remote = remote
    this.emit('remote', remote)
  }

  #send(message: ShareMessage, queue = Infinity): boolean {
    const channel = this.#channel
    if (channel?.readyState !== 'open' || channel.bufferedAmount > queue) return false
    channel.send(JSON.stringify(message))
    return true
  }

  /** What is not valid gets an error with a code, a few of them at once; the connection stays. */
  #receive(handle: () => void): void {
    try {
      handle()
    } catch (cause) {
      if (!(cause instanceof ShareError)) throw cause
      this.emit('error', cause)
      if (this.#complaints.take()) this.#send({ type: 'error', code: cause.code, message: cause.message.slice(0, 256) })
    }
  }

  #message(data: unknown): void {
    const message = decode(data)
    if (message === undefined) return
    if (!message.type.startsWith('file') && !this.#messages.take()) {
      throw new ShareError('too_many_messages', `more than ${rate.perSecond} messages a second`)
    }
    switch (message.type) {
      case 'media':
        this.#announced = message.tracks
        return this.#match()
      case 'chat':
        return this.emit('chat', { from: 'them', text: message.text, sent: message.sent_ms })
      case 'stroke': {
        const shown = incoming(message.on)
        this.board(shown).draw('them', message.id, message.color, message.points)
        return this.emit('drawn', shown)
      }
      case 'clear': {
        const shown = incoming(message.on)
        this.board(shown).clear()
        return this.emit('drawn', shown)
      }
      case 'error':
        return this.emit('error', new ShareError(message.code, message.message))
      default:
        this.files.message(message)
    }
  }
}

const outgoing = ({ whose, kind }: Shown): Picture => ({ owner: whose === 'mine' ? 'sender' : 'receiver', kind })
const incoming = ({ owner, kind }: Picture): Shown => ({ whose: owner === 'sender' ? 'theirs' : 'mine', kind })

/** A ten-thousandth of the picture is finer than it is shown. */
const round = (v: number) => Math.round(Math.min(1, Math.max(0, v)) * 10_000) / 10_000
