/** Typed listeners. A listener that throws does not keep the others from being called. */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>()

  /** Calls listener at each event of this kind until the returned function is called. */
  on<K extends keyof Events>(kind: K, listener: (event: Events[K]) => void): () => void {
    let set = this.#listeners.get(kind)
    if (set === undefined) this.#listeners.set(kind, (set = new Set()))
    set.add(listener)
    return () => void set.delete(listener)
  }

  protected emit<K extends keyof Events>(kind: K, event: Events[K]): void {
    for (const listener of [...(this.#listeners.get(kind) ?? [])]) {
      try {
        (listener as (event: Events[K]) => void)(event)
      } catch (cause) {
        setTimeout(() => {
          throw cause // as the browser reports an error of an event's handler
        })
      }
    }
  }

  protected forgetListeners(): void {
    this.#listeners.clear()
  }
}
