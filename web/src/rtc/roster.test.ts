import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Emitter } from './emitter.ts'
import type { PeerInfo, PresenceState } from './protocol.ts'
import { Roster } from './roster.ts'
import type { SignalingEvents } from './signaling.ts'

class Client extends Emitter<SignalingEvents> {
  joined(site: string, ...peers: PeerInfo[]) {
    this.emit('joined', { site, peers })
  }

  presence(site: string, info: PeerInfo, state: PresenceState, reason?: 'access_ended') {
    this.emit('peer', { type: 'peer', seq: 1, site, ...info, state, ...(reason === undefined ? {} : { reason }) })
  }

  left(site: string) {
    this.emit('left', { site, reason: 'access_ended' })
  }
}

const peer = (id: string, members: Partial<PeerInfo> = {}): PeerInfo => ({ peer: id, kind: 'person', name: id, polite: true, ...members })
let client: Client
let roster: Roster
let seen: string[]

beforeEach(() => {
  vi.useFakeTimers()
  client = new Client()
  roster = new Roster(client)
  seen = []
  for (const kind of ['joined', 'lost', 'back'] as const) roster.on(kind, (member) => seen.push(`${member.peer} ${kind}`))
  roster.on('left', ({ member, reason }) => seen.push(`${member.peer} left ${reason}`))
})

afterEach(() => {
  roster.close()
  expect(vi.getTimerCount()).toBe(0)
  vi.useRealTimers()
})

test('follows the presence', () => {
  client.joined('berlin', peer('a'), peer('b', { lost: true }))
  client.presence('berlin', peer('c'), 'joined')
  client.presence('berlin', peer('a'), 'lost')
  client.presence('berlin', peer('a'), 'back')
  client.presence('berlin', peer('b'), 'back')
  client.presence('berlin', peer('c'), 'left', 'access_ended')
  client.presence('berlin', peer('nobody'), 'left')
  expect(seen).toEqual(['a joined', 'b joined', 'c joined', 'a lost', 'a back', 'b back', 'c left access_ended'])
  expect(roster.members().map((m) => [m.peer, m.lost])).toEqual([['a', false], ['b', false]])
})

test('a peer of two rooms leaves with the second', () => {
  client.joined('berlin', peer('a'))
  client.joined('paris', peer('a'))
  client.presence('berlin', peer('a'), 'left')
  expect(seen).toEqual(['a joined'])
  client.left('paris')
  expect(seen).toEqual(['a joined', 'a left access_ended'])
})

test('who is missing after a reconnect has the grace to come back', () => {
  client.joined('berlin', peer('a'), peer('b'), peer('c'))
  client.joined('berlin', peer('a'))
  client.joined('berlin', peer('a'))
  expect(seen.slice(3)).toEqual(['b lost', 'c lost'])
  vi.advanceTimersByTime(29_999)
  client.presence('berlin', peer('b'), 'joined') // of another task, which does not know it
  vi.advanceTimersByTime(30_000)
  expect(seen.slice(5)).toEqual(['b back', 'c left lost'])
  expect(roster.get('c')).toBeUndefined()
})
