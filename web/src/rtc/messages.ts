import type * as protocol from './protocol.ts'

/** A message to another peer about one of the connections between both. */
export type Signal = Without<protocol.ClientOffer | protocol.ClientAnswer | protocol.ClientCandidate | protocol.ClientBye, 'to' | 'id'>

/** A message of another peer. */
export type Incoming = protocol.ServerOffer | protocol.ServerAnswer | protocol.ServerCandidate | protocol.ServerBye

/** The members of an RTCIceCandidateInit; without a candidate it is the end of its generation. */
export type CandidateBody = Without<protocol.ClientCandidate, 'to' | 'id' | 'type' | 'connection'>

// Omit that keeps a union.
type Without<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never
