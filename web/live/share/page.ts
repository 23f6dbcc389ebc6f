import { SignalingClient, SignalingError, type Member } from '../../src/rtc/index.ts'
import { cleanSinks, Sharing, type Call, type MediaKind } from '../../src/share/index.ts'
import { ApiError, Login, readConfig, type PageConfig } from '../api.ts'
import { element, setOptions, setText } from '../dom.ts'
import { CallView } from './callview.ts'

const kinds = ['camera', 'microphone', 'screen'] as const

/** The page on which people of a site share what they see. */
export class Page {
  readonly #views = new Map<Call, CallView>()
  #config: PageConfig | undefined
  #login: Login | undefined
  #client: SignalingClient | undefined
  #sharing: Sharing | undefined

  constructor() {
    void cleanSinks()
    element('login', 'form').onsubmit = (event) => {
      event.preventDefault()
      void this.#try(() => this.#begin())
    }
    element('logout', 'button').onclick = () => void this.#try(() => this.#end())
    element('site', 'select').onchange = () => void this.#try(() => this.#enter())
    for (const kind of kinds) {
      this.#control('share', kind).onclick = () => void this.#try(() => this.#toggle(kind))
      const mute = this.#control('mute', kind)
      if (mute !== null) mute.onclick = () => this.#sharing?.media.mute(kind, !this.#sharing.media.muted(kind))
      const device = document.querySelector<HTMLSelectElement>(`[data-device='${kind}']`)
      if (device !== null) device.onchange = () => void this.#try(async () => this.#sharing?.media.start(kind, device.value))
    }
    navigator.mediaDevices.addEventListener('devicechange', () => void this.#devices())
    addEventListener('online', () => this.#sharing?.connections.networkChanged())
    addEventListener('pagehide', () => {
      this.#sharing?.close()
      this.#client?.close()
    })
  }

  get sharing(): Sharing | undefined {
    return this.#sharing
  }

  get client(): SignalingClient | undefined {
    return this.#client
  }

  async #begin(): Promise<void> {
    const password = element('password', 'input')
    this.#config = await readConfig('../config.json')
    this.#login = await Login.begin(this.#config.api, element('name', 'input').value, password.value)
    password.value = ''
    const sites = await this.#login.sites()
    setOptions(element('site', 'select'), sites.map(({ name, title }) => ({ value: name, text: title === '' ? name : title })))
    if (sites.length === 0) throw new ApiError(0, 'Your account has no role at any site.')
    this.#show(true)
    await this.#enter()
  }

  async #enter(): Promise<void> {
    this.#leave()
    const login = this.#login!
    const client = new SignalingClient({
      url: this.#config!.signaling,
      token: (renew) => login.token(renew).catch((cause: unknown) => {
        // The login has ended; anything else is retried.
        if (cause instanceof ApiError && (cause.status === 401 || cause.status === 403)) throw new SignalingError('unauthorized', 'Your login has ended: log in again.')
        throw cause
      }),
    })
    const sharing = new Sharing(client)
    this.#client = client
    this.#sharing = sharing
    client.on('state', ({ state, reason }) => {
      const texts = { idle: 'Not connected', connecting: 'Connecting', online: 'Connected', offline: 'Service unavailable, reconnecting', closed: `Ended: ${reason?.message}` }
      this.#state(texts[state], { online: 'live', connecting: 'stale', offline: 'stale', closed: 'ended', idle: 'none' }[state])
    })
    client.on('welcome', () => this.#people())
    client.on('error', ({ message }) => this.#problem(message))
    for (const kind of ['joined', 'lost', 'back', 'left'] as const) sharing.roster.on(kind, () => this.#people())
    sharing.on('call', (call) => this.#call(call))
    sharing.media.on('changed', () => this.#own())
    sharing.media.on('lost', ({ cause }) => this.#problem(cause.message))
    client.connect()
    await client.join(element('site', 'select').value)
    this.#people()
    this.#own()
  }

  #leave(): void {
    this.#sharing?.close()
    this.#client?.close()
    this.#sharing = this.#client = undefined
    this.#people()
  }

  async #end(): Promise<void> {
    this.#leave()
    this.#show(false)
    this.#state('Not connected', 'none')
    const login = this.#login
    this.#login = undefined
    await login?.end()
  }

  #people(): void {
    const members = this.#sharing?.roster.members().filter(({ kind }) => kind === 'person') ?? []
    const list = element('persons', 'ul')
    list.replaceChildren(...members.map((member) => {
      const li = document.createElement('li')
      const call = document.createElement('button')
      call.type = 'button'
      call.textContent = `Connect with ${title(member)}${member.lost ? ' (away)' : ''}`
      call.dataset['peer'] = member.peer
      call.disabled = this.#sharing!.calls().some((c) => c.member.peer === member.peer)
      call.onclick = () => void this.#try(async () => void this.#sharing!.call(member.peer))
      li.append(call)
      return li
    }))
    element('nobody', 'p').hidden = members.length > 0
    const me = this.#client?.welcome
    setText(element('me', 'p'), me === undefined ? '' : `You are ${title(me)}`)
  }

  #call(call: Call): void {
    const view = new CallView(call, title(call.member), this.#sharing!.media, () => {
      view.close()
      this.#views.delete(call)
      // The call is removed from the list after its last event.
      queueMicrotask(() => this.#people())
    })
    this.#views.set(call, view)
    element('calls', 'div').append(view.element)
    this.#people()
  }

  async #toggle(kind: MediaKind): Promise<void> {
    const media = this.#sharing!.media
    if (media.track(kind) === undefined) await media.start(kind)
    else media.stop(kind)
  }

  #own(): void {
    const media = this.#sharing?.media
    for (const kind of kinds) {
      const on = media?.track(kind) !== undefined
      this.#control('share', kind).setAttribute('aria-pressed', String(on))
      const mute = this.#control('mute', kind)
      if (mute === null) continue
      mute.disabled = !on
      mute.setAttribute('aria-pressed', String(on && media?.muted(kind) === true))
    }
    void this.#devices()
  }

  async #devices(): Promise<void> {
    const media = this.#sharing?.media
    for (const kind of ['camera', 'microphone'] as const) {
      const select = document.querySelector<HTMLSelectElement>(`[data-device='${kind}']`)!
      const found = media?.track(kind) === undefined ? [] : await media.devices(kind)
      select.hidden = found.length < 2
      setOptions(select, found.map(({ id, name }, i) => ({ value: id, text: name === '' ? `${kind} ${i + 1}` : name })))
      const used = media?.track(kind)?.getSettings().deviceId
      if (used !== undefined) select.value = used
    }
  }

  #control(what: 'share', kind: MediaKind): HTMLButtonElement
  #control(what: 'mute', kind: MediaKind): HTMLButtonElement | null
  #control(what: string, kind: MediaKind): HTMLButtonElement | null {
    return document.querySelector<HTMLButtonElement>(`[data-${what}='${kind}']`)
  }

  #show(loggedIn: boolean): void {
    element('login', 'form').hidden = loggedIn
    element('logout', 'button').hidden = !loggedIn
    element('choices', 'div').hidden = !loggedIn
    for (const id of ['people', 'own']) document.getElementById(id)!.hidden = !loggedIn
  }

  #state(text: string, state: string): void {
    const shown = element('state', 'p')
    setText(shown, text)
    shown.dataset['state'] = state
  }

  #problem(text: string): void {
    const shown = element('problem', 'p')
    setText(shown, text)
    shown.hidden = text === ''
  }

  async #try(f: () => Promise<unknown>): Promise<void> {
    this.#problem('')
    try {
      await f()
    } catch (cause) {
      if (cause instanceof SignalingError && cause.code === 'closed' && this.#client === undefined) return
      this.#problem(cause instanceof Error ? cause.message : String(cause))
    }
  }
}

/** An account can be there several times. */
function title({ name, peer }: Pick<Member, 'name' | 'peer'>): string {
  return `${name} (${peer.slice(0, 4)})`
}
