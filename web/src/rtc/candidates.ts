import type { CandidateBody } from './messages.ts'

/** Candidates that wait for their description, and generations that are remembered. */
const limit = 256

/**
 * Sorts the candidates of the remote peer by ICE generation, which the username fragment names: those of the present
 * description are used, those of an earlier one dropped, and those that came before their description kept.
 */
export class RemoteCandidates {
  #current = new Set<string>()
  readonly #past = new Set<string>()
  #kept: CandidateBody[] = []
  #described = false
  /** Of candidates. */
  readonly counters = { used: 0, kept: 0, dropped: 0 }

  /** What to do with a candidate; a kept one is returned by describe() when its description comes. */
  sort(candidate: CandidateBody): 'use' | 'kept' | 'dropped' {
    const ufrag = fragment(candidate)
    if (ufrag === undefined ? this.#described : this.#current.has(ufrag)) {
      this.counters.used++
      return 'use'
    }
    if (ufrag !== undefined && this.#past.has(ufrag)) {
      this.counters.dropped++
      return 'dropped'
    }
    this.counters.kept++
    this.#kept.push(candidate)
    if (this.#kept.length > limit) {
      this.#kept.shift()
      this.counters.dropped++
    }
    return 'kept'
  }

  /** A remote description is in force now. Returns the kept candidates of its generation, in the order of arrival. */
  describe(sdp: string): CandidateBody[] {
    const now = new Set(fragments(sdp))
    for (const ufrag of this.#current) if (!now.has(ufrag)) this.#past.add(ufrag)
    for (const ufrag of this.#past) {
      if (this.#past.size > limit || now.has(ufrag)) this.#past.delete(ufrag)
    }
    this.#current = now
    this.#described = true
    const kept = this.#kept
    this.#kept = []
    return kept.filter((candidate) => this.sort(candidate) === 'use')
  }
}

/** The ICE username fragments of a description. */
export function fragments(sdp: string): string[] {
  return [...sdp.matchAll(/^a=ice-ufrag:(\S+)/gm)].map((match) => match[1]!)
}

function fragment({ candidate, usernameFragment }: CandidateBody): string | undefined {
  return usernameFragment ?? candidate?.match(/ ufrag (\S+)/)?.[1]
}
