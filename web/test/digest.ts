const stride = 1000

interface Scorer {
  score(times: BigInt64Array<ArrayBuffer>, values: Float64Array<ArrayBuffer>): Promise<{ scores: Float64Array<ArrayBuffer>; flags: Uint8Array<ArrayBuffer> }>
  save(): Promise<{ state: Uint8Array<ArrayBuffer>; hash: bigint }>
}

/** The lines that Go's package wasm/parity prints for a series, scored by something else. */
export async function digest(name: string, sensors: number, times: BigInt64Array, values: Float64Array, by: Scorer): Promise<string[]> {
  const lines: string[] = []
  for (let at = 0; at < times.length; at += stride) {
    const end = Math.min(times.length, at + stride)
    const { scores, flags } = await by.score(times.slice(at, end), values.slice(at * sensors, end * sensors))
    const { state, hash } = await by.save()
    const scored = new Uint8Array(scores.byteLength + flags.length)
    scored.set(new Uint8Array(scores.buffer, scores.byteOffset, scores.byteLength))
    scored.set(flags, scores.byteLength)
    lines.push(`${name} ${end} ${await short(scored)} ${hash.toString(16).padStart(16, '0')} ${await short(state)}`)
  }
  return lines
}

async function short(data: Uint8Array<ArrayBuffer>): Promise<string> {
  const sum = new Uint8Array(await crypto.subtle.digest('SHA-256', data))
  return Array.from(sum.subarray(0, 8), (b) => b.toString(16).padStart(2, '0')).join('')
}

