import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { SignalingError } from './error.ts'
import { SignalingClient, timing, type SignalingEvents } from './signaling.ts'
import { FakeSocket, welcome } from './testing/socket.ts'

let tokens: boolean[]
let token: (renew: boolean) => Promise<string>
let events: [string, unknown][]
let clients: SignalingClient[]

beforeEach(() => {
  vi.useFakeTimers()
  FakeSocket.all = []
  tokens = []
  events = []
  clients = []
  token = async (renew) => {
    tokens.push(renew)
    return `token-${tokens.length}`
  }
})

afterEach(() => {
  for (const client of clients) client.close()
  expect(vi.getTimerCount(), 'timers after close').toBe(0)
  vi.useRealTimers()
})

const settle = () => vi.advanceTimersByTimeAsync(0)
const last = () => FakeSocket.last

/** random is 0.999…, so that each backoff has its full length, unless the test says otherwise. */
function start(random = () => 1 - Number.EPSILON): SignalingClient {
  const client = new SignalingClient({ url: 'ws://signaling.test/v1/signaling', token: (renew) => token(renew), WebSocket: FakeSocket, random })
  for (const kind of ['state', 'welcome', 'joined', 'left', 'peer', 'signal', 'error'] as (keyof SignalingEvents)[]) {
    client.on(kind, (event) => events.push([kind, event]))
  }
  clients.push(client)
  client.connect()
  return client
}

async function online(members = {}): Promise<SignalingClient> {
  const client = start()
  await greet(members)
  expect(client.state).toBe('online')
  return client
}

async function greet(members = {}): Promise<void> {
  last().open()
  await settle()
  last().reply(welcome(members))
}

const failure = (promise: Promise<unknown>) => promise.then(() => 'nothing failed', (cause: unknown) => (cause instanceof SignalingError ? cause.code : String(cause)))
const of = <K extends keyof SignalingEvents>(kind: K) => events.filter(([k]) => k === kind).map(([, event]) => event as SignalingEvents[K])
const states = () => of('state').map(({ state }) => state)

describe('hello', () => {
  test('is first, with the token, which is not in the URL', async () => {
    const client = start()
    expect(last().url).toBe('ws://signaling.test/v1/signaling')
    expect(last().protocols).toEqual(['insighthub.signaling.v1'])
    client.send('p2', { type: 'bye', connection: 'c' })
    await greet()
    expect(last().sent).toEqual([{ type: 'hello', token: 'token-1' }, { type: 'bye', to: 'p2', connection: 'c' }])
    expect(client.peer).toBe('p1')
    expect(states()).toEqual(['connecting', 'online'])
  })

  test('a URL with a query or a user is rejected', () => {
    for (const url of ['ws://h/v1/signaling?token=x', 'ws://user@h/v1/signaling', 'https://h/v1/signaling']) {
      expect(() => new SignalingClient({ url, token: async () => 'x' })).toThrow(SignalingError)
    }
  })

  test('without a welcome the connection is given up', async () => {
    const client = start()
    last().open()
    await vi.advanceTimersByTimeAsync(timing.connect)
    expect(last().closed).toBe(true)
    expect(client.state).toBe('offline')
    await vi.advanceTimersByTimeAsync(timing.backoffFirst)
    expect(FakeSocket.all.length).toBe(2)
  })

  test('without a token it tries again, unless the session is over', async () => {
    token = async () => { throw new Error('offline') }
    const client = start()
    last().open()
    await settle()
    expect([client.state, of('state').at(-1)!.reason!.code]).toEqual(['offline', 'token_unavailable'])
    token = async () => { throw new SignalingError('unauthorized', 'the login has ended') }
    await vi.advanceTimersByTimeAsync(timing.backoffFirst)
    last().open()
    await settle()
    expect([client.state, of('state').at(-1)!.reason!.code]).toEqual(['closed', 'unauthorized'])
    expect(last().sent).toEqual([])
  })
})

describe('rooms', () => {
  test('are joined and left by request', async () => {
    const client = await online()
    const joined = client.join('berlin')
    const { id } = last().find('join')[0]!
    const other = { peer: 'p2', kind: 'person', name: 'bob', polite: true } as const
    last().reply({ type: 'joined', re: id!, seq: 1, site: 'berlin', peers: [other] })
    expect(await joined).toMatchObject({ site: 'berlin', peers: [other] })
    last().reply({ type: 'peer', seq: 2, site: 'berlin', ...other, state: 'lost' })
    expect(of('peer')).toMatchObject([{ peer: 'p2', state: 'lost' }])

    const left = client.leave('berlin')
    last().reply({ type: 'left', re: last().find('leave')[0]!.id!, seq: 3, site: 'berlin' })
    await left
  })

  test('a rejected join rejects, and is not repeated at a reconnect', async () => {
    const client = await online()
    const rejected = failure(client.join('paris'))
    last().reply({ type: 'error', re: last().find('join')[0]!.id!, code: 'forbidden', message: 'no role there' })
    expect(await rejected).toBe('forbidden')
    last().drop()
    await vi.advanceTimersByTimeAsync(timing.backoffFirst)
    await greet()
    expect(last().types()).toEqual(['hello'])
    expect(client.state).toBe('online')
  })

  test('a request that was dropped for the rate is repeated', async () => {
    const client = await online()
    const ice = client.ice()
    const [first] = last().find('ice')
    last().reply({ type: 'error', re: first!.id!, code: 'too_many_messages', message: 'slow down', retry_after_ms: 700 })
    await vi.advanceTimersByTimeAsync(699)
    expect(last().find('ice').length).toBe(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(last().find('ice')).toEqual([first, first])
    const servers = [{ urls: ['turn:t'], username: 'u', credential: 'c' }]
    last().reply({ type: 'ice', re: first!.id!, seq: 1, ice_servers: servers, expires_ms: 1 })
    expect(await ice).toEqual(servers)
  })

  test('a right that has ended leaves the room for good', async () => {
    const client = await online()
    void client.join('berlin')
    last().reply({ type: 'joined', re: last().find('join')[0]!.id!, seq: 1, site: 'berlin', peers: [] })
    last().reply({ type: 'left', seq: 2, site: 'berlin', reason: 'access_ended' })
    expect(of('left')).toEqual([{ site: 'berlin', reason: 'access_ended' }])
    last().drop()
    await vi.advanceTimersByTimeAsync(timing.backoffFirst)
    await greet()
    expect(last().types()).toEqual(['hello'])
  })

  test('a request without a response ends', async () => {
    const client = await online()
    const late = failure(client.ice())
    for (let i = 0; i < 4; i++) { // the service is there all the time
      last().reply({ type: 'pong', time_ms: 1 })
      await vi.advanceTimersByTimeAsync(timing.request / 4)
    }
    expect(await late).toBe('timeout')
  })
})

describe('a lost connection', () => {
  test('is resumed with what was received, and what comes twice is dropped', async () => {
    const client = await online()
    void client.join('berlin')
    last().reply({ type: 'joined', re: last().find('join')[0]!.id!, seq: 1, site: 'berlin', peers: [] })
    last().reply({ type: 'bye', seq: 2, from: 'p2', connection: 'a' })
    const old = last()
    old.drop()
    expect(client.state).toBe('offline')
    client.send('p2', { type: 'bye', connection: 'b' })
    await vi.advanceTimersByTimeAsync(timing.backoffFirst)
    await greet({ resumed: true, ticket: 'ticket-2' })
    expect(last().sent).toEqual([
      { type: 'hello', token: 'token-2', resume: { ticket: 'ticket-1', received: 2 } },
      { type: 'bye', to: 'p2', connection: 'b' },
    ])
    last().reply({ type: 'bye', seq: 2, from: 'p2', connection: 'a' })
    last().reply({ type: 'bye', seq: 3, from: 'p2', connection: 'c' })
    expect(of('signal').map(({ connection }) => connection)).toEqual(['a', 'c'])
    old.reply({ type: 'bye', seq: 4, from: 'p2', connection: 'late' })
    expect(of('signal').length).toBe(2)
  })

  test('of a session that is gone, the rooms are joined again, before what waits is sent', async () => {
    const client = await online()
    void client.join('berlin')
    last().reply({ type: 'joined', re: last().find('join')[0]!.id!, seq: 7, site: 'berlin', peers: [] })
    last().drop()
    client.send('p2', { type: 'bye', connection: 'b' })
    await vi.advanceTimersByTimeAsync(timing.backoffFirst)
    await greet({ resumed: false })
    expect(last().types()).toEqual(['hello', 'join', 'bye'])
    // Numbers begin at 1 again.
    last().reply({ type: 'joined', re: last().find('join')[0]!.id!, seq: 1, site: 'berlin', peers: [] })
    expect(of('joined').length).toBe(2)
  })

  test('a room that the service has no memory for at the moment is joined later', async () => {
    const client = await online()
    void client.join('berlin')
    last().reply({ type: 'joined', re: last().find('join')[0]!.id!, seq: 1, site: 'berlin', peers: [] })
    last().drop()
    await vi.advanceTimersByTimeAsync(timing.backoffFirst)
    await greet()
    last().reply({ type: 'error', re: last().find('join')[0]!.id!, code: 'unavailable', message: 'redis', retry_after_ms: 300 })
    await vi.advanceTimersByTimeAsync(300)
    expect(last().find('join').length).toBe(2)
    last().reply({ type: 'error', re: last().find('join')[1]!.id!, code: 'forbidden', message: 'no role' })
    expect(of('left')).toEqual([{ site: 'berlin', reason: 'forbidden' }])
  })

  test('a request that waits is sent by the next connection', async () => {
    const client = start()
    const ice = client.ice()
    last().drop()
    await vi.advanceTimersByTimeAsync(timing.backoffFirst)
    await greet()
    last().reply({ type: 'ice', re: last().find('ice')[0]!.id!, seq: 1, ice_servers: [], expires_ms: 1 })
    expect(await ice).toEqual([])
  })

  test('messages that wait are bounded, the oldest give way', async () => {
    const client = start()
    for (let i = 0; i < 1000; i++) client.send('p2', { type: 'bye', connection: `c${i}` })
    await greet({ limits: { message_bytes: 65_536, messages_per_second: 1000, rooms: 8 } })
    const byes = last().find('bye')
    expect([byes.length, byes.at(-1)!.connection]).toEqual([256, 'c999'])
  })

  test('of the descriptions that wait, only the newest of a connection goes', async () => {
    const client = start()
    client.send('p2', { type: 'offer', connection: 'a', sdp: 'old' })
    client.send('p2', { type: 'offer', connection: 'b', sdp: 'other' })
    client.send('p2', { type: 'candidate', connection: 'a', candidate: null })
    client.send('p2', { type: 'offer', connection: 'a', sdp: 'new' })
    await greet()
    expect(last().sent.slice(1).map((m) => ('sdp' in m ? m.sdp : m.type))).toEqual(['other', 'candidate', 'new'])
  })

  test('a dead server is seen within 10 s, without waiting for its close', async () => {
    const client = await online()
    await vi.advanceTimersByTimeAsync(4999)
    expect(last().types()).toEqual(['hello'])
    await vi.advanceTimersByTimeAsync(1)
    expect(last().types()).toEqual(['hello', 'ping'])
    const dead = last()
    await vi.advanceTimersByTimeAsync(4999)
    expect(client.state).toBe('online')
    await vi.advanceTimersByTimeAsync(1)
    expect([client.state, dead.code]).toEqual(['offline', 4000])
    await vi.advanceTimersByTimeAsync(timing.backoffFirst)
    expect(FakeSocket.all.length).toBe(2)
  })

  test('a server that says something is alive', async () => {
    const client = await online()
    for (let i = 0; i < 20; i++) {
      await vi.advanceTimersByTimeAsync(4000)
      last().reply({ type: 'pong', time_ms: i })
    }
    expect(FakeSocket.all.length).toBe(1)
    expect(last().types()).toEqual(['hello'])
    await vi.advanceTimersByTimeAsync(5000)
    last().reply({ type: 'pong', time_ms: 1 })
    await vi.advanceTimersByTimeAsync(9999)
    expect(client.state).toBe('online')
  })

  test('the backoff doubles up to its limit, with full jitter, and starts anew after a session that lasted', async () => {
    const draws: number[] = []
    const random = () => {
      draws.push(0.5)
      return 0.5
    }
    const client = start(random)
    const waits: number[] = []
    for (let i = 0; i < 8; i++) {
      last().drop()
      const sockets = FakeSocket.all.length
      let wait = 0
      while (FakeSocket.all.length === sockets) {
        await vi.advanceTimersByTimeAsync(1)
        wait++
      }
      waits.push(wait)
    }
    expect(waits).toEqual([125, 250, 500, 1000, 2000, 4000, 4000, 4000])
    expect(draws.length).toBe(8)
    await greet()
    await vi.advanceTimersByTimeAsync(timing.settled)
    last().drop()
    const sockets = FakeSocket.all.length
    await vi.advanceTimersByTimeAsync(125)
    expect(FakeSocket.all.length).toBe(sockets + 1)
    last().drop()
    client.retryNow()
    expect(FakeSocket.all.length).toBe(sockets + 2)
  })
})

test('a burst is spread over the rate that the service accepts, in order', async () => {
  const client = await online()
  for (let i = 0; i < 100; i++) client.send('p2', { type: 'candidate', connection: `c${i}`, candidate: null })
  expect(last().find('candidate').length).toBe(40)
  await vi.advanceTimersByTimeAsync(1000)
  expect(last().find('candidate').length).toBe(80)
  await vi.advanceTimersByTimeAsync(500)
  expect(last().find('candidate').map(({ connection }) => connection)).toEqual(Array.from({ length: 100 }, (_, i) => `c${i}`))
})

test('a message that the service would close for is not sent', async () => {
  const client = await online()
  client.send('p2', { type: 'offer', connection: 'c', sdp: 'ü'.repeat(33_000) })
  expect([last().types(), of('error').map(({ code }) => code)]).toEqual([['hello'], ['message_too_big']])
})

describe('move', () => {
  test('the old connection serves until the new one is welcomed', async () => {
    const client = await online()
    const old = last()
    old.reply({ type: 'move', seq: 1, delay_ms: 3000, reconnect: true })
    await vi.advanceTimersByTimeAsync(2999)
    expect(FakeSocket.all.length).toBe(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(FakeSocket.all.length).toBe(2)
    last().open()
    await settle()
    old.reply({ type: 'bye', seq: 2, from: 'p2', connection: 'a' })
    client.send('p2', { type: 'bye', connection: 'b' })
    expect(old.types()).toEqual(['hello', 'bye'])
    last().reply(welcome({ resumed: true }))
    expect(old.code, 'of a session that goes on').toBe(4000)
    last().reply({ type: 'bye', seq: 2, from: 'p2', connection: 'a' }) // hello said 1
    last().reply({ type: 'bye', seq: 3, from: 'p2', connection: 'c' })
    expect(of('signal').map(({ connection }) => connection)).toEqual(['a', 'c'])
    client.send('p2', { type: 'bye', connection: 'd' })
    expect(last().types()).toEqual(['hello', 'bye'])
    expect(states()).toEqual(['connecting', 'online'])
  })

  test('that the service replaces the old one during a move is not an end', async () => {
    const client = await online()
    const old = last()
    old.reply({ type: 'move', seq: 1, delay_ms: 0, reconnect: true })
    await settle()
    last().open()
    await settle()
    old.reply({ type: 'error', code: 'replaced', message: 'by another socket' })
    old.drop(4409)
    expect(client.state).toBe('connecting')
    last().reply(welcome({ resumed: true }))
    expect(client.state).toBe('online')
  })

  test('to a task that cannot be reached is tried again while the old one serves', async () => {
    const client = await online()
    const old = last()
    old.reply({ type: 'move', seq: 1, delay_ms: 0, reconnect: true })
    await settle()
    last().drop()
    expect(client.state).toBe('online')
    await vi.advanceTimersByTimeAsync(timing.backoffFirst)
    expect(FakeSocket.all.length).toBe(3)
    expect(old.closed).toBe(false)
    await greet({ resumed: true })
    expect([client.state, old.closed]).toEqual(['online', true])
  })
})

describe('the token', () => {
  test('is renewed before it expires', async () => {
    const client = await online({ token_expires_ms: 1_000_000_600_000 })
    const alive = async (ms: number) => {
      for (; ms > 0; ms -= 4000) {
        await vi.advanceTimersByTimeAsync(Math.min(ms, 4000))
        last().reply({ type: 'pong', time_ms: 1 })
      }
    }
    await alive(539_000)
    expect(tokens).toEqual([false])
    await alive(2000)
    expect(tokens).toEqual([false, true])
    expect(last().find('token')).toMatchObject([{ token: 'token-2' }])
    last().reply(welcome({ re: 'renewal', ticket: 'ticket-2', server_time_ms: 1_000_000_541_000, token_expires_ms: 1_000_001_141_000 }))
    expect(of('welcome').length).toBe(1)
    await alive(538_000)
    expect(tokens).toEqual([false, true])
    await alive(4000)
    expect(tokens).toEqual([false, true, true])
    last().drop()
    await vi.advanceTimersByTimeAsync(timing.backoffFirst)
    last().open()
    await settle()
    expect(last().find('hello')[0]!.resume!.ticket).toBe('ticket-2')
    expect(client.state).toBe('connecting')
  })

  test('one that is just as old is not renewed in a loop', async () => {
    await online({ token_expires_ms: 1_000_000_030_000 })
    await vi.advanceTimersByTimeAsync(4000)
    for (let i = 0; i < 26; i++) {
      const asked = last().find('token').length
      await vi.advanceTimersByTimeAsync(1000)
      last().reply({ type: 'pong', time_ms: 1 })
      if (last().find('token').length > asked) {
        last().reply(welcome({ re: 'renewal', server_time_ms: 1_000_000_005_000 + i * 1000, token_expires_ms: 1_000_000_030_000 }))
      }
    }
    expect(tokens.length).toBeLessThan(6)
  })

  test('that the service rejects is renewed once; a second rejection ends the session', async () => {
    const client = start()
    last().open()
    await settle()
    last().reply({ type: 'error', code: 'token_expired', message: 'expired' })
    last().drop(4401)
    expect(client.state).toBe('offline')
    await vi.advanceTimersByTimeAsync(timing.backoffFirst)
    last().open()
    await settle()
    expect(tokens).toEqual([false, true])
    last().reply({ type: 'error', code: 'unauthorized', message: 'denied' })
    last().drop(4401)
    expect([client.state, of('state').at(-1)!.reason!.code]).toEqual(['closed', 'unauthorized'])
    await vi.advanceTimersByTimeAsync(60_000)
    expect(FakeSocket.all.length).toBe(2)
    expect(await failure(client.join('berlin'))).toBe('closed')
  })
})

describe('the end', () => {
  test('a session that another socket has taken over is not fought for', async () => {
    const client = await online()
    const waiting = failure(client.ice())
    last().reply({ type: 'error', code: 'replaced', message: 'by another socket' })
    last().drop(4409)
    expect([client.state, of('state').at(-1)!.reason!.code]).toEqual(['closed', 'replaced'])
    expect(await waiting).toBe('replaced')
    await vi.advanceTimersByTimeAsync(60_000)
    expect(FakeSocket.all.length).toBe(1)
    client.connect()
    await greet()
    expect(last().find('hello')[0]!.resume).toBeUndefined()
  })

  test('an earlier error is not taken for the cause of a lost connection', async () => {
    const client = await online()
    last().reply({ type: 'error', code: 'invalid_sdp', message: 'no m= line' })
    last().drop(1006)
    expect(of('error').map(({ code }) => code)).toEqual(['invalid_sdp'])
    expect([client.state, of('state').at(-1)!.reason!.code]).toEqual(['offline', 'closed'])
  })

  test('close leaves the rooms', async () => {
    const client = await online()
    void client.join('berlin')
    last().reply({ type: 'joined', re: last().find('join')[0]!.id!, seq: 1, site: 'berlin', peers: [] })
    client.close()
    expect(last().types()).toEqual(['hello', 'join', 'leave'])
    expect(last().code, 'of a session that has ended').toBe(1000)
  })
})

test('what is not a message of the service is an error event, and the session goes on', async () => {
  const client = await online()
  for (const bad of ['', '{', '[]', 'null', '{"type":7}', '{"type":"offer"}', '{"type":"peer","seq":1,"site":4}', new ArrayBuffer(4)]) last().raw(bad)
  expect(of('error').map(({ code }) => code)).toEqual(Array<string>(8).fill('invalid_message'))
  for (const unknown of ['{"type":"later"}', '{"type":"constructor"}', '{"type":"__proto__"}']) last().raw(unknown)
  expect(of('error').length).toBe(8)
  expect(client.state).toBe('online')
})

test('a listener that throws does not keep the others from their event', async () => {
  const client = start()
  const seen: string[] = []
  client.on('welcome', () => { throw new Error('of the page') })
  client.on('welcome', ({ peer }) => seen.push(peer))
  await greet()
  expect(seen).toEqual(['p1'])
  expect(() => vi.advanceTimersByTime(0)).toThrow('of the page') // reported as an error of the page
})
