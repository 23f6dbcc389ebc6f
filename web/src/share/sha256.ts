// SHA-256 (FIPS 180-4) in pieces: crypto.subtle.digest wants all of the data at once, and a shared file can be larger
// than the memory of a page.

const block = 64

// The first 32 bits of the fractional parts of the cube roots of the first 64 primes (4.2.2), and of the square roots of
// the first 8 (5.3.3).
const { constants, initial } = derive()

export class Sha256 {
  readonly #state = Int32Array.from(initial)
  readonly #words = new Int32Array(block)
  readonly #rest = new Uint8Array(block)
  #length = 0
  #finished = false

  /** Adds data. Throws after digest(). */
  update(data: Uint8Array): void {
    if (this.#finished) throw new Error('the digest is taken already')
    let at = 0
    const held = this.#length % block
    this.#length += data.length
    if (held > 0) {
      at = Math.min(block - held, data.length)
      this.#rest.set(data.subarray(0, at), held)
      if (held + at < block) return
      this.#compress(this.#rest, 0)
    }
    for (; at + block <= data.length; at += block) this.#compress(data, at)
    this.#rest.set(data.subarray(at))
  }

  /** The 32 bytes of the digest of everything added. */
  digest(): Uint8Array<ArrayBuffer> {
    const length = this.#length
    const padding = new Uint8Array(block - (length + 8) % block + 8) // 1 to 64 bytes and the length
    padding[0] = 0x80
    const view = new DataView(padding.buffer)
    view.setUint32(padding.length - 8, Math.floor(length / 2 ** 29))
    view.setUint32(padding.length - 4, (length * 8) % 2 ** 32)
    this.update(padding)
    this.#finished = true
    const out = new DataView(new ArrayBuffer(32))
    this.#state.forEach((word, i) => out.setInt32(4 * i, word))
    return new Uint8Array(out.buffer)
  }

  #compress(data: Uint8Array, at: number): void {
    const w = this.#words
    const k = constants
    for (let i = 0; i < 16; i++, at += 4) w[i] = data[at]! << 24 | data[at + 1]! << 16 | data[at + 2]! << 8 | data[at + 3]!
    for (let i = 16; i < block; i++) {
      const x = w[i - 15]!
      const y = w[i - 2]!
      w[i] = w[i - 16]! + ((x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ x >>> 3) + w[i - 7]! + ((y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ y >>> 10)
    }
    const s = this.#state
    let a = s[0]! | 0
    let b = s[1]! | 0
    let c = s[2]! | 0
    let d = s[3]! | 0
    let e = s[4]! | 0
    let f = s[5]! | 0
    let g = s[6]! | 0
    let h = s[7]! | 0
    for (let i = 0; i < block; i++) {
      const first = h + ((e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)) + (e & f ^ ~e & g) + k[i]! + w[i]! | 0
      const second = ((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) + (a & b ^ a & c ^ b & c) | 0
      h = g
      g = f
      f = e
      e = d + first | 0
      d = c
      c = b
      b = a
      a = first + second | 0
    }
    s[0]! += a
    s[1]! += b
    s[2]! += c
    s[3]! += d
    s[4]! += e
    s[5]! += f
    s[6]! += g
    s[7]! += h
  }
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function derive(): { constants: Int32Array; initial: Int32Array } {
  const primes: number[] = []
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p !== 0)) primes.push(n)
  // In whole numbers: the root of p · 2^(32 · degree), without its whole part.
  const fraction = (p: number, degree: number) => {
    const scaled = BigInt(p) << BigInt(32 * degree)
    let [low, high] = [0n, 1n << 36n]
    while (high - low > 1n) {
      const middle = (low + high) / 2n
      if (middle ** BigInt(degree) <= scaled) low = middle
      else high = middle
    }
    return Number(low & 0xffffffffn)
  }
  return { constants: Int32Array.from(primes, (p) => fraction(p, 3)), initial: Int32Array.from(primes.slice(0, 8), (p) => fraction(p, 2)) }
}
