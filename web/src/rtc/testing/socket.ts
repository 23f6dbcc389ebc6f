import type { Socket } from '../link.ts'
import type { ClientMessage, ServerMessage, ServerWelcome } from '../protocol.ts'

type Unsequenced = ServerMessage extends infer M ? (M extends ServerMessage ? Omit<M, 'seq'> & { seq?: number } : never) : never

/** A WebSocket whose other side is the test. */
export class FakeSocket implements Socket {
  static all: FakeSocket[] = []

  readonly url: string
  readonly protocols: string[]
  readyState = 0
  onopen: ((event: Event) => void) | null = null
  onmessage: ((event: MessageEvent) => void) | null = null
  onclose: ((event: CloseEvent) => void) | null = null
  onerror: ((event: Event) => void) | null = null
  readonly sent: ClientMessage[] = []
  closed = false
  code: number | undefined

  constructor(url: string, protocols: string[]) {
    this.url = url
    this.protocols = protocols
    FakeSocket.all.push(this)
  }

  static get last(): FakeSocket {
    return FakeSocket.all.at(-1)!
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text) as ClientMessage)
  }

  close(code?: number): void {
    this.closed = true
    this.code = code
    this.readyState = 3
  }

  /** Completes the handshake. */
  open(): void {
    this.readyState = 1
    this.onopen?.(new Event('open'))
  }

  reply(message: Unsequenced): void {
    this.raw(JSON.stringify(message))
  }

  raw(data: unknown): void {
    this.onmessage?.({ data } as MessageEvent)
  }

  /** The service, or the network, closes. */
  drop(code = 1006, reason = ''): void {
    this.readyState = 3
    this.onclose?.({ code, reason } as CloseEvent)
  }

  types(): string[] {
    return this.sent.map(({ type }) => type)
  }

  find<T extends ClientMessage['type']>(type: T): (ClientMessage & { type: T })[] {
    return this.sent.filter((message): message is ClientMessage & { type: T } => message.type === type)
  }
}

export function welcome(members: Partial<ServerWelcome> = {}): ServerWelcome {
  return {
    type: 'welcome', version: 1, peer: 'p1', ticket: 'ticket-1', resumed: false, kind: 'person', name: 'ada', heartbeat_seconds: 5,
    limits: { message_bytes: 65_536, messages_per_second: 50, rooms: 8 },
    token_expires_ms: 1_000_000_600_000, server_time_ms: 1_000_000_000_000, ...members,
  }
}
