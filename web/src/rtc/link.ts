import { SignalingError } from './error.ts'
import { decodeServer, subprotocol, type ServerMessage } from './protocol.ts'

/** The part of a WebSocket that the client needs. */
export interface Socket {
  send(text: string): void
  close(code?: number, reason?: string): void
  readonly readyState: number
  onopen: ((event: Event) => void) | null
  onmessage: ((event: MessageEvent) => void) | null
  onclose: ((event: CloseEvent) => void) | null
  onerror: ((event: Event) => void) | null
}

export type SocketConstructor = new (url: string, protocols: string[]) => Socket

export interface LinkHandlers {
  opened(): void
  message(message: ServerMessage): void
  /** Called once, unless close() was; code is the WebSocket close code, 1006 without one. */
  closed(cause: SignalingError, code: number): void
  /** A message of the server that is not valid; the connection goes on. */
  invalid(cause: SignalingError): void
}

type Timer = ReturnType<typeof setTimeout>

/** A close code of applications (RFC 6455, 7.4.2), for a socket whose session goes on. */
const resumable = 4000

/** One WebSocket to the service, with its timers; it ends once, and nothing comes after its end. */
export class Link {
  readonly #socket: Socket
  readonly #handlers: LinkHandlers
  readonly #timers = new Set<Timer>()
  #ended = false
  #heard = 0
  /** The last error message of the service: the cause of the close that follows. */
  lastError: SignalingError | undefined

  constructor(url: string, construct: SocketConstructor | undefined, handlers: LinkHandlers) {
    this.#handlers = handlers
    const socket = new (construct ?? (WebSocket as SocketConstructor))(url, [subprotocol])
    this.#socket = socket
    socket.onopen = () => handlers.opened()
    socket.onmessage = ({ data }) => this.#receive(data)
    socket.onclose = ({ code, reason }) => {
      this.fail(new SignalingError('closed', `the connection was closed with code ${code}${reason === '' ? '' : ` (${reason})`}`), code)
    }
    socket.onerror = () => {} // a close follows
  }

  /** Returns whether the message was handed to the socket. */
  send(message: object): boolean {
    if (this.#ended || this.#socket.readyState !== 1) return false
    this.#socket.send(JSON.stringify(message))
    return true
  }

  /** Calls f after ms, unless the link has ended by then. */
  after(ms: number, f: () => void): Timer {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      f()
    }, ms)
    this.#timers.add(timer)
    return timer
  }

  /** Ends the link after ms when it is still late then. */
  deadline(ms: number, late: () => boolean): void {
    this.after(ms, () => {
      if (late()) this.fail(new SignalingError('timeout', `not connected within ${ms} ms`))
    })
  }

  /**
   * Finds a dead server: after interval ms without a message it sends ping, and when nothing has come another interval
   * later, the link ends. It counts from when the ping was sent, as a browser delays the timers of a hidden page.
   */
  watch(interval: number): void {
    this.#heard = performance.now()
    const check = () => {
      const silent = performance.now() - this.#heard
      if (silent < interval) {
        this.after(interval - silent, check)
        return
      }
      const asked = performance.now()
      this.send({ type: 'ping' })
      this.after(interval, () => {
        if (this.#heard >= asked) check()
        else this.fail(new SignalingError('timeout', `the signaling service sent nothing for ${2 * interval} ms`))
      })
    }
    this.after(interval, check)
  }

  /** Ends the link; closed is called with the cause. */
  fail(cause: SignalingError, code = 1006): void {
    if (this.#ended) return
    this.close()
    this.#handlers.closed(cause, code)
  }

  /**
   * Ends the link without a call of closed. The service takes the code 1000 for the end of the session; with any other the
   * session can be resumed.
   */
  close(code = resumable): void {
    if (this.#ended) return
    this.#ended = true
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
    const socket = this.#socket
    // A dead server never completes the close: nobody waits for it.
    socket.onopen = socket.onmessage = socket.onclose = null
    socket.close(code)
  }

  #receive(data: unknown): void {
    if (this.#ended) return
    this.#heard = performance.now()
    let message: ServerMessage | null
    try {
      if (typeof data !== 'string') throw new Error('the message is binary')
      message = decodeServer(data)
    } catch (cause) {
      this.#handlers.invalid(new SignalingError('invalid_message', `the service sent what is not a message: ${(cause as Error).message}`))
      return
    }
    if (message !== null) this.#handlers.message(message)
  }
}
