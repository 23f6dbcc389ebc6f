import { Emitter } from './emitter.ts'
import { SignalingError } from './error.ts'
import { Link, type SocketConstructor } from './link.ts'
import type { Incoming, Signal } from './messages.ts'
import { Outbox } from './outbox.ts'
import {
  actionAfter, closes, maxMessageBytes, type ErrorCode, type ICEServer, type LeaveReason, type PeerInfo, type ServerError, type ServerMessage, type ServerPresence, type ServerWelcome,
} from './protocol.ts'

/**
 * Where the client is. offline: it reconnects by itself. closed: it does not, until connect() is called; the reason is in
 * the event.
 */
export type SignalingState = 'idle' | 'connecting' | 'online' | 'offline' | 'closed'

export interface Room {
  site: string
  peers: PeerInfo[]
}

export interface SignalingEvents {
  state: { state: SignalingState; reason?: SignalingError }
  /** The session began or was resumed. When resumed is false, messages may have been lost. */
  welcome: ServerWelcome
  /** The room was entered, or entered again after a reconnect; peers are all the others. */
  joined: Room
  /** The room was left; unasked when the right to it has expired (reason). */
  left: { site: string; reason?: LeaveReason | ErrorCode }
  peer: ServerPresence
  signal: Incoming
  /** An error that belongs to no request. */
  error: SignalingError
}

export interface SignalingOptions {
  /** ws:// or wss://, without a token. */
  url: string
  /**
   * Returns an access token: the present one, or a new one when renew is true. A rejection with the code unauthorized
   * ends the session; any other is retried.
   */
  token(renew: boolean): Promise<string>
  WebSocket?: SocketConstructor
  /** In [0, 1), for the backoff. */
  random?: () => number
}

/** Times in ms. */
export const timing = {
  /** Between the start of a connection and its welcome. */
  connect: 10_000,
  request: 10_000,
  backoffFirst: 250,
  backoffMost: 8_000,
  /** A session that lives as long has its backoff reset. */
  settled: 5_000,
  /** At most this long before a token's expiry it is renewed; a third of its lifetime for short ones. */
  renewBefore: 60_000,
  renewRetry: 5_000,
} as const

interface Request {
  message: object
  want: ServerMessage['type']
  resolve(reply: ServerMessage): void
  reject(cause: SignalingError): void
  timer: ReturnType<typeof setTimeout>
}

/**
 * A session with the signaling service (docs/SIGNALING_PROTOCOL.md). It reconnects with backoff and full jitter, resumes
 * the session, enters its rooms again and renews its token; peer connections go on meanwhile. The token is sent in the
 * first message only, never in the URL.
 */
export class SignalingClient extends Emitter<SignalingEvents> {
  readonly #options: SignalingOptions
  readonly #random: () => number
  readonly #rooms = new Set<string>()
  readonly #requests = new Map<string, Request>()
  readonly #outbox = new Outbox()
  #state: SignalingState = 'idle'
  #link: Link | undefined
  /** The connection that is to take over from #link, or the first one. */
  #next: Link | undefined
  #welcome: ServerWelcome | undefined
  #received = 0
  #attempt = 0
  #rejections = 0
  #ids = 0
  #retryTimer: ReturnType<typeof setTimeout> | undefined
  #settledTimer: ReturnType<typeof setTimeout> | undefined
  #renewTimer: ReturnType<typeof setTimeout> | undefined

  constructor(options: SignalingOptions) {
    super()
    const url = new URL(options.url)
    if (url.protocol !== 'ws:' && url.protocol !== 'wss:') throw new SignalingError('invalid_message', `${url.protocol}// is not a WebSocket URL`)
    if (url.search !== '' || url.username !== '' || url.password !== '') {
      throw new SignalingError('invalid_message', 'the signaling URL must not have a query, a user or a password: the token travels in hello')
    }
    this.#options = options
    this.#random = options.random ?? Math.random
  }

  get state(): SignalingState {
    return this.#state
  }

  /** The id of this peer; undefined before the first welcome. */
  get peer(): string | undefined {
    return this.#welcome?.peer
  }

  get welcome(): ServerWelcome | undefined {
    return this.#welcome
  }

  /** Starts, or starts again after closed. Does nothing when it runs already. */
  connect(): void {
    if (this.#state !== 'idle' && this.#state !== 'closed') return
    this.#attempt = 0
    this.#rejections = 0
    this.#dial(false)
  }

  /** Reconnects now instead of after the backoff: the browser says that the network is back. */
  retryNow(): void {
    if (this.#state === 'offline') this.#dial(false)
  }

  /** Enters the room of a site, now and after each reconnect, until leave(). Rejects when the service rejects it. */
  async join(site: string): Promise<Room> {
    this.#rooms.add(site)
    try {
      return (await this.#request('joined', { type: 'join', site })) as Room & ServerMessage
    } catch (cause) {
      if (cause instanceof SignalingError && cause.code !== 'timeout' && cause.code !== 'closed') this.#rooms.delete(site)
      throw cause
    }
  }

  async leave(site: string): Promise<void> {
    this.#rooms.delete(site)
    await this.#request('left', { type: 'leave', site })
  }

  /** New TURN credentials. */
  async ice(): Promise<ICEServer[]> {
    const reply = await this.#request('ice', { type: 'ice' })
    return reply.type === 'ice' ? reply.ice_servers : []
  }

  /** Sends a message to another peer, after a reconnect if need be. Errors of it are events. */
  send(to: string, signal: Signal): void {
    if (this.#state === 'closed') return
    const message = { to, ...signal }
    const size = new TextEncoder().encode(JSON.stringify(message)).length
    if (size > maxMessageBytes) { // the service would close the connection
      this.emit('error', new SignalingError('message_too_big', `the ${signal.type} has ${size} bytes, at most ${maxMessageBytes} can be sent`))
    } else this.#outbox.add(message)
  }

  /** Ends the session: the others in the rooms see this peer leave. */
  close(): void {
    for (const site of this.#rooms) this.#link?.send({ type: 'leave', site })
    this.#rooms.clear()
    this.#link?.close(1000)
    this.#end(new SignalingError('closed', 'the signaling client was closed'))
    this.forgetListeners()
  }

  #request(want: ServerMessage['type'], message: object): Promise<ServerMessage> {
    return new Promise((resolve, reject) => {
      if (this.#state === 'closed' || this.#state === 'idle') {
        reject(new SignalingError('closed', 'the signaling client is not connected'))
        return
      }
      const id = `${++this.#ids}`
      const timer = setTimeout(() => {
        this.#requests.delete(id)
        reject(new SignalingError('timeout', `no response to ${want} within ${timing.request} ms`))
      }, timing.request)
      const request = { message: { ...message, id }, want, resolve, reject, timer }
      this.#requests.set(id, request)
      if (this.#state === 'online') this.#link?.send(request.message)
    })
  }

  #setState(state: SignalingState, reason?: SignalingError): void {
    if (this.#state === state) return
    this.#state = state
    this.emit('state', { state, ...(reason === undefined ? {} : { reason }) })
  }

  /** Opens a connection beside the present one, if there is one. */
  #dial(renew: boolean): void {
    clearTimeout(this.#retryTimer)
    this.#next?.close()
    if (this.#link === undefined) this.#setState('connecting')
    let welcomed = false
    const link: Link = new Link(this.#options.url, this.#options.WebSocket, {
      opened: () => void this.#hello(link, renew),
      message: (message) => {
        if (message.type === 'welcome' && link === this.#next) {
          welcomed = true
          this.#adopt(link, message)
        } else this.#handle(link, message)
      },
      closed: (cause, code) => this.#lost(link, cause, code),
      invalid: (cause) => this.emit('error', cause),
    })
    this.#next = link
    link.deadline(timing.connect, () => !welcomed)
  }

  async #hello(link: Link, renew: boolean): Promise<void> {
    let token: string
    try {
      token = await this.#options.token(renew)
    } catch (cause) {
      if (link !== this.#next) return
      if (cause instanceof SignalingError && cause.code === 'unauthorized') this.#end(cause)
      else link.fail(new SignalingError('token_unavailable', `no access token: ${cause instanceof Error ? cause.message : String(cause)}`))
      return
    }
    const resume = this.#welcome === undefined ? {} : { resume: { ticket: this.#welcome.ticket, received: this.#received } }
    link.send({ type: 'hello', token, ...resume })
  }

  /** The service has accepted the connection: it takes over. */
  #adopt(link: Link, welcome: ServerWelcome): void {
    this.#next = undefined
    this.#link?.close()
    this.#link = link
    this.#welcome = welcome
    this.#rejections = 0
    if (!welcome.resumed) this.#received = 0
    link.watch(welcome.heartbeat_seconds * 1000)
    clearTimeout(this.#settledTimer)
    this.#settledTimer = setTimeout(() => (this.#attempt = 0), timing.settled)
    this.#planRenewal(welcome)

    // The rooms first: messages to peers need a common one. Requests that waited bring their own join.
    const requested = [...this.#requests.values()].map((request) => request.message)
    if (!welcome.resumed) {
      for (const site of this.#rooms) {
        if (!requested.some((m) => (m as { type: string; site?: string }).type === 'join' && (m as { site?: string }).site === site)) {
          link.send({ type: 'join', site, id: `room:${site}` })
        }
      }
    }
    for (const message of requested) link.send(message)
    this.#setState('online')
    this.emit('welcome', welcome)
    this.#outbox.start((message) => link.send(message), welcome.limits.messages_per_second)
  }

  #handle(link: Link, message: ServerMessage): void {
    if (link !== this.#link && message.type !== 'error') return // not greeted yet
    if ('seq' in message) {
      if (message.seq <= this.#received) return // sent a second time after a resume
      this.#received = message.seq
    }
    const re = 're' in message ? message.re : undefined
    const request = re === undefined ? undefined : this.#requests.get(re)
    if (message.type !== 'error' && request !== undefined && request.want === message.type) {
      this.#settle(re!)
      request.resolve(message)
    }
    switch (message.type) {
      case 'joined':
        this.emit('joined', { site: message.site, peers: message.peers })
        break
      case 'left':
        if (re === undefined) this.#rooms.delete(message.site)
        this.emit('left', { site: message.site, ...(message.reason === undefined ? {} : { reason: message.reason }) })
        break
      case 'peer':
        this.emit('peer', message)
        break
      case 'offer': case 'answer': case 'candidate': case 'bye':
        this.emit('signal', message)
        break
      case 'welcome': // the response to token
        this.#welcome = { ...message, resumed: true }
        this.#planRenewal(message)
        break
      case 'move':
        if (link === this.#link) link.after(message.delay_ms, () => this.#dial(false))
        break
      case 'error':
        this.#failed(link, message, request)
    }
  }

  #failed(link: Link, message: ServerError, request: Request | undefined): void {
    const cause = new SignalingError(message.code, message.message)
    link.lastError = cause
    if (request !== undefined && link === this.#link) {
      if (message.code === 'too_many_messages') { // it was dropped: repeat it within the request's timeout
        link.after(message.retry_after_ms ?? 1000, () => link.send(request.message))
        return
      }
      this.#settle(message.re!)
      request.reject(cause)
      return
    }
    if (message.re?.startsWith('room:') === true) {
      const site = message.re.slice('room:'.length)
      if (message.code === 'too_many_messages' || message.code === 'unavailable') {
        link.after(message.retry_after_ms ?? 1000, () => {
          if (this.#rooms.has(site)) link.send({ type: 'join', site, id: message.re })
        })
        return
      }
      this.#rooms.delete(site)
      this.emit('left', { site, reason: message.code })
      return
    }
    if (link === this.#link) this.emit('error', cause)
  }

  #settle(id: string): void {
    clearTimeout(this.#requests.get(id)?.timer)
    this.#requests.delete(id)
  }

  /** A connection has ended, or could not be made. */
  #lost(link: Link, cause: SignalingError, code: number): void {
    if (link !== this.#link && link !== this.#next) return
    const action = actionAfter(code)
    // The service says why before it closes.
    const last = link.lastError
    const reason = last !== undefined && isProtocol(last.code) && closes[last.code].close === code ? last : cause
    if (link === this.#next) this.#next = undefined
    if (link === this.#link) {
      this.#link = undefined
      this.#outbox.stop()
      clearTimeout(this.#renewTimer)
      clearTimeout(this.#settledTimer)
    }
    // While another connection is being made, it is the one that counts: it has replaced this one.
    if (this.#next !== undefined) {
      this.#setState('connecting')
      return
    }
    if (action === 'stop') return this.#end(reason)
    // A new token may do; two rejections in a row say that the next would be rejected as well.
    const renew = action === 'renew'
    if (renew && ++this.#rejections >= 2) return this.#end(reason)
    if (this.#link === undefined) this.#setState('offline', reason)
    // Full jitter: clients that lost the same task come back spread out.
    const most = Math.min(timing.backoffMost, timing.backoffFirst * 2 ** Math.min(this.#attempt++, 16))
    clearTimeout(this.#retryTimer)
    this.#retryTimer = setTimeout(() => this.#dial(renew), this.#random() * most)
  }

  #planRenewal({ token_expires_ms: expires, server_time_ms: now, re }: ServerWelcome): void {
    clearTimeout(this.#renewTimer)
    if (expires === 0) return
    const lifetime = Math.max(0, expires - now)
    // Not at once after a renewal that gave a token just as old.
    const wait = Math.max(lifetime - Math.min(timing.renewBefore, lifetime / 3), re === undefined ? 0 : timing.renewRetry)
    // setTimeout fires at once beyond 2^31 ms.
    this.#renewTimer = setTimeout(() => void this.#renew(), Math.min(wait, 2 ** 31 - 1))
  }

  async #renew(): Promise<void> {
    const link = this.#link
    if (link === undefined) return
    let token: string
    try {
      token = await this.#options.token(true)
    } catch (cause) {
      if (cause instanceof SignalingError && cause.code === 'unauthorized') this.emit('error', cause)
      else if (this.#link === link) this.#renewTimer = setTimeout(() => void this.#renew(), timing.renewRetry)
      return
    }
    if (this.#link !== link) return
    link.send({ type: 'token', token, id: 'renewal' }) // a welcome with the new expiry follows
  }

  #end(reason: SignalingError): void {
    for (const timer of [this.#retryTimer, this.#settledTimer, this.#renewTimer]) clearTimeout(timer)
    this.#next?.close()
    this.#link?.close()
    this.#next = this.#link = undefined
    this.#welcome = undefined
    this.#received = 0
    this.#outbox.clear()
    const requests = [...this.#requests.keys()]
    for (const id of requests) {
      const request = this.#requests.get(id)!
      this.#settle(id)
      request.reject(reason)
    }
    this.#setState('closed', reason)
  }
}

function isProtocol(code: string): code is ErrorCode {
  return Object.hasOwn(closes, code)
}
