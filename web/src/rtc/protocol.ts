// Generated from lib/rtc by `go generate ./lib/rtc`. DO NOT EDIT.
// The protocol is described in docs/SIGNALING_PROTOCOL.md.

export const protocolVersion = 1
export const subprotocol = 'insighthub.signaling.v1'
export const signalingPath = '/v1/signaling'
export const maxMessageBytes = 65536
export const maxIdBytes = 64
export const maxReasonBytes = 256
export const heartbeatSeconds = 5
export const helloSeconds = 5
export const graceSeconds = 30

export type PeerId = string
export type ConnectionId = string
export type PeerKind = 'gateway' | 'person'
export type PresenceState = 'joined' | 'left' | 'lost' | 'back'
/** A later version may have more reasons. */
export type LeaveReason = 'access_ended' | 'lost'
export type Action = 'reconnect' | 'renew' | 'stop'

/** The codes of errors. A later version may have more. */
export type ErrorCode =
  | 'invalid_message'
  | 'unknown_type'
  | 'not_greeted'
  | 'already_greeted'
  | 'unauthorized'
  | 'token_expired'
  | 'subject_mismatch'
  | 'forbidden'
  | 'not_in_room'
  | 'unknown_peer'
  | 'too_many_rooms'
  | 'too_many_messages'
  | 'too_many_sessions'
  | 'message_too_big'
  | 'invalid_utf8'
  | 'slow_reader'
  | 'invalid_sdp'
  | 'invalid_candidate'
  | 'replaced'
  | 'going_away'
  | 'unavailable'
  | 'unsupported_version'

/** How the service closes after an error (0: never), and what a client does then. */
export const closes: Readonly<Record<ErrorCode, { close: number; always: boolean; then: Action | '' }>> = {
  /** The text is not a message of the protocol: not a JSON object, a repeated member, a wrong type. */
  invalid_message: { close: 0, always: false, then: '' },
  /** The member type is not one that a client may send. */
  unknown_type: { close: 0, always: false, then: '' },
  /** Another message came before hello, or no hello came within 5 s. */
  not_greeted: { close: 4400, always: true, then: 'reconnect' },
  /** Hello came a second time; the session goes on. */
  already_greeted: { close: 0, always: false, then: '' },
  /** The token is not valid, or was denied. */
  unauthorized: { close: 4401, always: true, then: 'renew' },
  /** The token expired and was not renewed. */
  token_expired: { close: 4401, always: true, then: 'renew' },
  /** The new token belongs to somebody else; the session goes on with the old one. */
  subject_mismatch: { close: 0, always: false, then: '' },
  /** The token does not grant the room. */
  forbidden: { close: 0, always: false, then: '' },
  /** The session has not joined that room. */
  not_in_room: { close: 0, always: false, then: '' },
  /** No such peer is in a room of this session. */
  unknown_peer: { close: 0, always: false, then: '' },
  /** The session is in as many rooms as it may be. */
  too_many_rooms: { close: 0, always: false, then: '' },
  /** The message was dropped; retry_after_ms says when the next is accepted. */
  too_many_messages: { close: 4429, always: false, then: 'reconnect' },
  /** The subject or the address has as many sessions as it may have. */
  too_many_sessions: { close: 4429, always: true, then: 'reconnect' },
  /** The message has more than 65,536 bytes. */
  message_too_big: { close: 1009, always: true, then: 'reconnect' },
  /** The message is not valid UTF-8. */
  invalid_utf8: { close: 1007, always: true, then: 'reconnect' },
  /** The client does not read what the service sends. */
  slow_reader: { close: 4408, always: true, then: 'reconnect' },
  /** The description is not one of WebRTC. */
  invalid_sdp: { close: 0, always: false, then: '' },
  /** The candidate does not follow RFC 8839. */
  invalid_candidate: { close: 0, always: false, then: '' },
  /** Another socket has resumed the session. */
  replaced: { close: 4409, always: true, then: 'stop' },
  /** The service stops. */
  going_away: { close: 1001, always: true, then: 'reconnect' },
  /** Something that the service needs cannot be reached; a retry may succeed. */
  unavailable: { close: 1013, always: false, then: 'reconnect' },
  /** The service does not speak this version. */
  unsupported_version: { close: 4406, always: true, then: 'stop' },
}

/** Resume names the session to resume. */
export interface Resume {
  /** Ticket is that of the last welcome. */
  ticket: string
  /** Received is the seq of the last message that the client has handled. */
  received?: number
}

/** Hello is the first message of a client, within HelloSeconds. */
export interface ClientHello {
  type: 'hello'
  id?: string
  /** Token is an access token of the platform. */
  token: string
  /** Resume asks for the session of an earlier socket. */
  resume?: Resume
}

/** Token renews the access token of the session. The response is a welcome. */
export interface ClientToken {
  type: 'token'
  id?: string
  token: string
}

/** Join enters the room of a site. */
export interface ClientJoin {
  type: 'join'
  id?: string
  site: string
}

/** Leave leaves the room of a site. */
export interface ClientLeave {
  type: 'leave'
  id?: string
  site: string
}

/** Offer carries the description with which a negotiation starts. */
export interface ClientOffer {
  type: 'offer'
  id?: string
  to: PeerId
  connection: ConnectionId
  sdp: string
}

/** Answer carries the description that answers an offer. */
export interface ClientAnswer {
  type: 'answer'
  id?: string
  to: PeerId
  connection: ConnectionId
  sdp: string
}

/** Candidate carries one ICE candidate, in the members of RTCIceCandidateInit. A receiver keeps those that come before the description of their connection. */
export interface ClientCandidate {
  type: 'candidate'
  id?: string
  to: PeerId
  connection: ConnectionId
  /** Candidate is a candidate-attribute of RFC 8839 (5.1); null or empty says that there are no more of this generation. */
  candidate: string | null
  sdpMid?: string | null
  sdpMLineIndex?: number | null
  /** UsernameFragment is the ICE generation. The service fills it in from the candidate. */
  usernameFragment?: string | null
}

/** Bye ends a peer connection. */
export interface ClientBye {
  type: 'bye'
  id?: string
  to: PeerId
  connection: ConnectionId
  reason?: string
}

/** ICE asks for ICE servers with credentials of the caller's own: for each connection, and before an ICE restart. */
export interface ClientICE {
  type: 'ice'
  id?: string
}

/** Ping asks for a pong, for clients that see no WebSocket pings. */
export interface ClientPing {
  type: 'ping'
  id?: string
}

/** Limits are those of a session. */
export interface Limits {
  message_bytes: number
  messages_per_second: number
  rooms: number
}

/** Welcome responds to hello and token. */
export interface ServerWelcome {
  type: 'welcome'
  re?: string
  version: number
  /** Peer is the client's own id. */
  peer: PeerId
  /** Ticket resumes the session; it is opaque and replaces earlier ones. */
  ticket: string
  /** Resumed says that the session goes on: rooms are joined, and what was missed follows. Otherwise the client joins its rooms; it may have the same id as before. */
  resumed: boolean
  kind: PeerKind
  name: string
  heartbeat_seconds: number
  limits: Limits
  /** TokenExpiresMS is when the access token expires: the client sends token before. */
  token_expires_ms: number
  server_time_ms: number
}

/** PeerInfo describes another peer of a room. */
export interface PeerInfo {
  peer: PeerId
  kind: PeerKind
  /** Name is the gateway's name or the person's account id. */
  name: string
  /** Polite says whether the receiver is the polite one towards that peer. */
  polite: boolean
  /** Lost says that the peer has no socket at the moment and may resume. */
  lost?: boolean
}

/** Joined responds to join. */
export interface ServerJoined {
  type: 'joined'
  re?: string
  seq: number
  site: string
  peers: PeerInfo[]
}

/** Presence says what happened to another peer of a room. */
export interface ServerPresence {
  type: 'peer'
  seq: number
  site: string
  peer: PeerId
  kind: PeerKind
  name: string
  polite: boolean
  state: PresenceState
  /** Reason is set when the peer has left without wanting to. */
  reason?: LeaveReason
}

/** Left responds to leave, and comes unasked when the right to the room has ended. */
export interface ServerLeft {
  type: 'left'
  re?: string
  seq: number
  site: string
  reason?: LeaveReason
}

/** Offer carries the description with which a negotiation starts. */
export interface ServerOffer {
  type: 'offer'
  seq: number
  from: PeerId
  connection: ConnectionId
  sdp: string
}

/** Answer carries the description that answers an offer. */
export interface ServerAnswer {
  type: 'answer'
  seq: number
  from: PeerId
  connection: ConnectionId
  sdp: string
}

/** Candidate carries one ICE candidate, in the members of RTCIceCandidateInit. A receiver keeps those that come before the description of their connection. */
export interface ServerCandidate {
  type: 'candidate'
  seq: number
  from: PeerId
  connection: ConnectionId
  /** Candidate is a candidate-attribute of RFC 8839 (5.1); null or empty says that there are no more of this generation. */
  candidate: string | null
  sdpMid?: string | null
  sdpMLineIndex?: number | null
  /** UsernameFragment is the ICE generation. The service fills it in from the candidate. */
  usernameFragment?: string | null
}

/** Bye ends a peer connection. */
export interface ServerBye {
  type: 'bye'
  seq: number
  from: PeerId
  connection: ConnectionId
  reason?: string
}

/** ICEServer is an RTCIceServer. */
export interface ICEServer {
  urls: string[]
  username?: string
  credential?: string
}

/** ICEResponse responds to ice. */
export interface ServerICEResponse {
  type: 'ice'
  re?: string
  seq: number
  /** Servers have the form of RTCConfiguration.iceServers. */
  ice_servers: ICEServer[]
  /** ExpiresMS is when the credentials expire: new allocations need new ones then. */
  expires_ms: number
}

/** Pong responds to ping. */
export interface ServerPong {
  type: 'pong'
  re?: string
  time_ms: number
}

/** ErrorMessage reports an error; Codes says which are followed by a close. */
export interface ServerError {
  type: 'error'
  re?: string
  code: ErrorCode
  message: string
  retry_after_ms?: number
}

/** Move asks the client to open a new socket after the delay, and to resume there. */
export interface ServerMove {
  type: 'move'
  seq: number
  delay_ms: number
  /** Reconnect is always true. */
  reconnect: boolean
}

/** What a client sends. */
export type ClientMessage =
  | ClientHello
  | ClientToken
  | ClientJoin
  | ClientLeave
  | ClientOffer
  | ClientAnswer
  | ClientCandidate
  | ClientBye
  | ClientICE
  | ClientPing

/** What the service sends. */
export type ServerMessage =
  | ServerWelcome
  | ServerJoined
  | ServerPresence
  | ServerLeft
  | ServerOffer
  | ServerAnswer
  | ServerCandidate
  | ServerBye
  | ServerICEResponse
  | ServerPong
  | ServerError
  | ServerMove

/** The members of the service's messages: the type, with ? for optional, [] for arrays. */
const schema: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  welcome: { re: 'string?', version: 'integer', peer: 'string', ticket: 'string', resumed: 'boolean', kind: 'string', name: 'string', heartbeat_seconds: 'integer', limits: 'Limits', token_expires_ms: 'integer', server_time_ms: 'integer' },
  joined: { re: 'string?', seq: 'integer', site: 'string', peers: 'PeerInfo[]' },
  peer: { seq: 'integer', site: 'string', peer: 'string', kind: 'string', name: 'string', polite: 'boolean', state: 'string', reason: 'string?' },
  left: { re: 'string?', seq: 'integer', site: 'string', reason: 'string?' },
  offer: { seq: 'integer', from: 'string', connection: 'string', sdp: 'string' },
  answer: { seq: 'integer', from: 'string', connection: 'string', sdp: 'string' },
  candidate: { seq: 'integer', from: 'string', connection: 'string', candidate: 'string|null', sdpMid: 'string|null?', sdpMLineIndex: 'integer|null?', usernameFragment: 'string|null?' },
  bye: { seq: 'integer', from: 'string', connection: 'string', reason: 'string?' },
  ice: { re: 'string?', seq: 'integer', ice_servers: 'ICEServer[]', expires_ms: 'integer' },
  pong: { re: 'string?', time_ms: 'integer' },
  error: { re: 'string?', code: 'string', message: 'string', retry_after_ms: 'integer?' },
  move: { seq: 'integer', delay_ms: 'integer', reconnect: 'boolean' },
  Limits: { message_bytes: 'integer', messages_per_second: 'integer', rooms: 'integer' },
  PeerInfo: { peer: 'string', kind: 'string', name: 'string', polite: 'boolean', lost: 'boolean?' },
  ICEServer: { urls: 'string[]', username: 'string?', credential: 'string?' },
}

/** What a client does after a close with that code. */
export function actionAfter(closeCode: number): Action {
  for (const { close, then } of Object.values(closes)) {
    if (close === closeCode && then !== '') return then
  }
  return 'reconnect'
}

/**
 * Whether self is the polite peer towards other (perfect negotiation): a person towards a gateway; of two of one kind the one with the
 * smaller id, whose characters are ASCII.
 */
export function polite(self: { peer: PeerId; kind: PeerKind }, other: { peer: PeerId; kind: PeerKind }): boolean {
  if (self.kind !== other.kind) return self.kind === 'person'
  return self.peer < other.peer
}

/** What is wrong with a message of the service. */
export class ProtocolError extends Error {
  override name = 'ProtocolError'
}

/**
 * Decodes a message of the service. Unknown members are passed on. Returns null for a type that this version does not know, which a client
 * ignores. Throws a ProtocolError when the text is not a message.
 */
export function decodeServer(text: string): ServerMessage | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new ProtocolError('not valid JSON')
  }
  if (!isObject(value) || typeof value['type'] !== 'string') throw new ProtocolError('not an object with a member type')
  // The structs of members have capitals, messages have not.
  const type = value['type']
  if (!/^[a-z]+$/.test(type) || !Object.hasOwn(schema, type)) return null
  check(value, type, type)
  return value as unknown as ServerMessage
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function check(value: unknown, kind: string, path: string): void {
  const wrong = () => new ProtocolError(`${path} is not ${kind}`)
  if (kind.endsWith('|null')) {
    if (value !== null) check(value, kind.slice(0, -5), path)
  } else if (kind.endsWith('[]')) {
    if (!Array.isArray(value)) throw wrong()
    value.forEach((element: unknown, i) => { check(element, kind.slice(0, -2), `${path}[${i}]`) })
  } else if (kind === 'integer') {
    if (!Number.isSafeInteger(value)) throw wrong()
  } else if (kind === 'string' || kind === 'boolean') {
    if (typeof value !== kind) throw wrong()
  } else {
    if (!isObject(value)) throw wrong()
    for (const [name, member] of Object.entries(schema[kind] ?? {})) {
      const optional = member.endsWith('?')
      if (!Object.hasOwn(value, name)) {
        if (!optional) throw new ProtocolError(`${path}.${name} is missing`)
      } else {
        check(value[name], optional ? member.slice(0, -1) : member, `${path}.${name}`)
      }
    }
  }
}
