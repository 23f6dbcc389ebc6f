import { expect, test } from 'vitest'
import { selectedPath } from './path.ts'

const pc = (...stats: object[]) => ({ getStats: () => Promise.resolve(new Map(stats.map((s, i) => [i, s]))) }) as unknown as RTCPeerConnection

test('the selected path of a connection', async () => {
  const transport = { id: 't', type: 'transport', selectedCandidatePairId: 'p' }
  const pair = { id: 'p', type: 'candidate-pair', localCandidateId: 'l', remoteCandidateId: 'r', currentRoundTripTime: 0.002 }
  const host = { id: 'l', type: 'local-candidate', candidateType: 'host', protocol: 'udp' }
  const remote = { id: 'r', type: 'remote-candidate', candidateType: 'prflx', protocol: 'udp' }
  expect(await selectedPath(undefined)).toBeUndefined()
  expect(await selectedPath(pc())).toBeUndefined()
  expect(await selectedPath(pc(transport))).toBeUndefined()
  expect(await selectedPath(pc(transport, pair, host, remote))).toEqual({ local: 'host', remote: 'prflx', protocol: 'udp', relay: false, roundTripMillis: 2 })
  const relay = { ...host, candidateType: 'relay', relayProtocol: 'tls' }
  expect(await selectedPath(pc(transport, { ...pair, currentRoundTripTime: undefined }, relay, remote))).toEqual({
    local: 'relay', remote: 'prflx', protocol: 'tls', relay: true, roundTripMillis: undefined,
  })
})
