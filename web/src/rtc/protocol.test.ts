import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { actionAfter, closes, decodeServer, polite, ProtocolError } from './protocol.ts'

const document = readFileSync(new URL('../../../docs/SIGNALING_PROTOCOL.md', import.meta.url), 'utf8')

test("the document's messages of the service are decoded", () => {
  const block = /```json server\n([^]*?)\n```/.exec(document)?.[1]?.split('\n') ?? []
  expect(block.length).toBeGreaterThan(12)
  for (const line of block) expect(decodeServer(line), line).toEqual(JSON.parse(line))
})

test('types of a later version are passed over, and members of one', () => {
  expect(decodeServer('{"type":"later","x":1}')).toBeNull()
  expect(decodeServer('{"type":"PeerInfo"}')).toBeNull()
  expect(decodeServer('{"type":"constructor"}')).toBeNull()
  expect(decodeServer('{"type":"pong","time_ms":1,"later":[]}')).toEqual({ type: 'pong', time_ms: 1, later: [] })
})

test.each([
  ['', 'JSON'], ['7', 'object'], ['[]', 'object'], ['null', 'object'], ['{}', 'type'], ['{"type":7}', 'type'],
  ['{"type":"pong"}', 'pong.time_ms is missing'], ['{"type":"pong","time_ms":"1"}', 'pong.time_ms is not integer'],
  ['{"type":"pong","time_ms":1.5}', 'pong.time_ms is not integer'], ['{"type":"pong","time_ms":null}', 'pong.time_ms'],
  ['{"type":"left","site":"s"}', 'left.seq is missing'],
  ['{"type":"joined","seq":1,"site":"s","peers":{}}', 'joined.peers'],
  ['{"type":"joined","seq":1,"site":"s","peers":[{"peer":"p"}]}', 'joined.peers[0].kind is missing'],
  ['{"type":"candidate","seq":1,"from":"p","connection":"c"}', 'candidate.candidate is missing'],
  ['{"type":"candidate","seq":1,"from":"p","connection":"c","candidate":7}', 'candidate.candidate is not string'],
])('%s is not a message: %s', (text, says) => {
  expect(() => decodeServer(text)).toThrow(ProtocolError)
  expect(() => decodeServer(text)).toThrow(says)
})

test('exactly one of two peers is polite, and a person towards a gateway', () => {
  const all = [
    { peer: 'a', kind: 'person' }, { peer: 'b', kind: 'person' }, { peer: 'a-', kind: 'person' },
    { peer: 'B', kind: 'gateway' }, { peer: '_', kind: 'gateway' },
  ] as const
  for (const x of all) {
    for (const y of all) {
      if (x === y) continue
      expect(polite(x, y)).toBe(!polite(y, x))
      if (x.kind === 'person' && y.kind === 'gateway') expect(polite(x, y)).toBe(true)
    }
  }
  // Bytes, not the order of a language.
  expect(polite({ peer: 'B', kind: 'person' }, { peer: 'a', kind: 'person' })).toBe(true)
})

test('what follows a close', () => {
  expect(actionAfter(1006)).toBe('reconnect')
  expect(actionAfter(closes.token_expired.close)).toBe('renew')
  expect(actionAfter(closes.replaced.close)).toBe('stop')
  expect(actionAfter(closes.going_away.close)).toBe('reconnect')
})
