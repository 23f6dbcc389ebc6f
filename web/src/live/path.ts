/** The candidates of a connection's selected pair. */
export interface SelectedPath {
  /** host, srflx, prflx or relay. */
  local: string
  remote: string
  protocol: string
  /** Whether a TURN server relays it. */
  relay: boolean
  /** Of ICE's own checks, in ms. */
  roundTripMillis: number | undefined
}

/** Reads the selected path from the statistics of a connection; undefined while there is none. */
export async function selectedPath(pc: Pick<RTCPeerConnection, 'getStats'> | undefined): Promise<SelectedPath | undefined> {
  if (pc === undefined) return undefined
  const stats = await pc.getStats()
  const all = new Map<string, Record<string, unknown>>()
  stats.forEach((value: { id: string }) => all.set(value.id, value as unknown as Record<string, unknown>))
  for (const transport of all.values()) {
    if (transport['type'] !== 'transport') continue
    const pair = all.get(String(transport['selectedCandidatePairId']))
    const local = all.get(String(pair?.['localCandidateId']))
    const remote = all.get(String(pair?.['remoteCandidateId']))
    if (pair === undefined || local === undefined || remote === undefined) continue
    const kind = (candidate: Record<string, unknown>) => String(candidate['candidateType'])
    const roundTrip = pair['currentRoundTripTime']
    return {
      local: kind(local), remote: kind(remote), protocol: String(local['relayProtocol'] ?? local['protocol']),
      relay: kind(local) === 'relay' || kind(remote) === 'relay',
      roundTripMillis: typeof roundTrip === 'number' ? roundTrip * 1000 : undefined,
    }
  }
  return undefined
}
