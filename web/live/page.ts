import { ApiError, Login, readConfig, type PageConfig } from './api.ts'
import { element, setOptions, setText } from './dom.ts'
import { MachineView } from './machine.ts'
import { Numbers } from './numbers.ts'
import { LiveFeed, LiveViewer, VideoMeter, type Camera, type ViewerState } from '../src/live/index.ts'
import { Connections, SignalingClient, SignalingError } from '../src/rtc/index.ts'

const stateTexts: Record<ViewerState, string> = {
  connecting: 'Connecting', live: 'Live', stale: 'Stale: no data at the moment', lost: 'Lost: trying to get it back', ended: 'Ended',
}

/** The token for signaling, which stops asking once the login has ended. */
async function tokenOf(login: Login, renew: boolean): Promise<string> {
  try {
    return await login.token(renew)
  } catch (cause) {
    throw cause instanceof ApiError && cause.status === 401 ? new SignalingError('unauthorized', 'The login has ended. Log in again.') : cause
  }
}

/** What one gateway shows. */
class Shown {
  readonly feed = LiveFeed.start(new URL('detector.wasm', document.baseURI))
  readonly viewer: LiveViewer
  readonly machine: MachineView
  readonly numbers: Numbers
  meter: VideoMeter | undefined
  devices: string[] = []
  cameras: Camera[] = []
  state: ViewerState = 'connecting'

  constructor(connections: Connections, gateway: string, changed: () => void, problem: (cause: Error | undefined) => void) {
    this.viewer = new LiveViewer({
      connections, feed: this.feed, gateway, devices: [], video: true,
      onstate: (state) => {
        this.state = state
        if (state === 'live') problem(undefined)
        changed()
      },
      onready: ({ devices, cameras }) => {
        this.devices = devices
        this.cameras = cameras
        changed()
      },
      ontrack: ({ track, receiver }) => {
        // A picture is shown as soon as it is decoded.
        if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = 0
        this.#play(track)
      },
      onerror: problem,
    })
    this.feed.ready().catch(problem)
    this.machine = new MachineView(this.feed, this.viewer, changed)
    this.numbers = new Numbers(this.feed, this.viewer, () => this.meter)
  }

  close(): void {
    this.viewer.close()
    this.machine.close()
    this.numbers.close()
    this.meter?.close()
    this.feed.close()
    element('video', 'video').srcObject = null
  }

  /** Shows the camera of the machine, or else the first one. */
  film(machine: string): void {
    const camera = this.cameras.find(({ name }) => name === machine) ?? this.cameras[0]
    this.viewer.camera(camera?.name ?? null)
    setText(element('camera', 'span'), camera === undefined ? '' : `${camera.name} (${camera.codec}, ${camera.width} × ${camera.height})`)
    this.meter?.reset()
  }

  #play(track: MediaStreamTrack): void {
    const video = element('video', 'video')
    video.srcObject = new MediaStream([track])
    void video.play().catch(() => {}) // the reader may start it
    this.meter?.close()
    this.meter = new VideoMeter(video, () => this.numbers.offset)
  }
}

/** The page: login, choice of site, gateway and machine, and what that shows. */
export class Page {
  readonly #site = element('site', 'select')
  readonly #gateway = element('gateway', 'select')
  readonly #machine = element('machine', 'select')
  #config: PageConfig | undefined
  #login: Login | undefined
  #client: SignalingClient | undefined
  #connections: Connections | undefined
  #joined = ''
  #seen = ''
  #filmed = ''
  shown: Shown | undefined

  constructor() {
    const form = element('login', 'form')
    form.onsubmit = (event) => {
      event.preventDefault()
      const data = new FormData(form)
      void this.#try(() => this.#begin(String(data.get('name')), String(data.get('password'))))
    }
    element('logout', 'button').onclick = () => void this.#try(() => this.#logout())
    this.#site.onchange = () => void this.#try(() => this.#enter(this.#site.value))
    this.#gateway.onchange = () => this.#show(this.#gateway.value)
    this.#machine.onchange = () => this.#changed()
    const moved = () => this.#connections?.networkChanged()
    addEventListener('online', moved)
    void this.#try(async () => {
      this.#config = await readConfig()
    })
    element('name', 'input').focus()
  }

  async #begin(name: string, password: string): Promise<void> {
    const config = (this.#config ??= await readConfig())
    const login = await Login.begin(config.api, name, password)
    element('password', 'input').value = ''
    this.#login = login
    const sites = await login.sites()
    element('login', 'form').hidden = true
    element('choices', 'div').hidden = element('logout', 'button').hidden = false
    if (sites.length === 0) throw new Error('This account may see no site. An administrator can grant one.')
    const client = new SignalingClient({ url: config.signaling, token: (renew) => tokenOf(login, renew) })
    this.#client = client
    client.on('state', ({ state, reason }) => {
      if (state === 'closed' && reason !== undefined) this.#problem(new Error(`The session has ended: ${reason.message}`))
    })
    const connections = new Connections(client)
    this.#connections = connections
    for (const kind of ['joined', 'back', 'lost'] as const) connections.roster.on(kind, () => this.#present())
    connections.roster.on('left', () => this.#present())
    client.on('left', ({ site, reason }) => {
      if (reason !== undefined) this.#problem(new Error(`The right to see the site ${site} has ended.`))
    })
    client.connect()
    const site = setOptions(this.#site, sites.map(({ name: value, title }) => ({ value, text: title === '' ? value : title })))
    await this.#enter(site)
    this.#site.focus()
  }

  async #enter(site: string): Promise<void> {
    const client = this.#client
    if (client === undefined || this.#joined === site) return
    if (this.#joined !== '') await client.leave(this.#joined)
    this.#joined = site
    this.#show('')
    await client.join(site)
    this.#present()
  }

  /** Shows which gateways are there; one that is shown stays in the list while it is lost. */
  #present(): void {
    const members = this.#connections?.roster.members().filter(({ kind }) => kind === 'gateway') ?? []
    const names = new Map(members.map(({ name, lost }) => [name, lost]))
    if (this.#seen !== '' && !names.has(this.#seen)) names.set(this.#seen, true)
    const options = [...names].sort(([a], [b]) => (a < b ? -1 : 1)).map(([value, lost]) => ({ value, text: lost ? `${value} (not connected)` : value }))
    element('nobody', 'p').hidden = options.length > 0
    this.#show(setOptions(this.#gateway, options))
  }

  #show(gateway: string): void {
    if (this.#seen === gateway) return
    this.#seen = gateway
    this.#filmed = ''
    this.shown?.close()
    this.shown = undefined
    element('live', 'div').hidden = gateway === ''
    setOptions(this.#machine, [])
    if (gateway !== '') this.shown = new Shown(this.#connections!, gateway, () => this.#changed(), (cause) => this.#problem(cause))
    this.#changed()
  }

  /** Brings the page up to date with what is shown. */
  #changed(): void {
    const { shown } = this
    const state = element('state', 'p')
    state.dataset['state'] = shown?.state ?? 'none'
    setText(state, shown === undefined ? 'Not connected' : stateTexts[shown.state])
    element('live', 'div').classList.toggle('lost', shown?.state === 'lost' || shown?.state === 'ended')
    if (shown === undefined) return
    const machines = [...new Set([...shown.devices, ...shown.machine.machines])].sort()
    const machine = setOptions(this.#machine, machines.map((value) => ({ value, text: value })))
    if (machine === '') return
    shown.machine.show(machine)
    const film = `${machine}\n${shown.cameras.length}`
    if (film !== this.#filmed) {
      this.#filmed = film
      shown.film(machine)
    }
  }

  async #logout(): Promise<void> {
    this.shown?.close()
    this.#connections?.close()
    this.#client?.close()
    const login = this.#login
    this.#login = undefined
    try {
      await login?.end()
    } finally {
      location.reload() // nothing of the session stays in memory
    }
  }

  async #try(f: () => Promise<void>): Promise<void> {
    this.#problem(undefined)
    try {
      await f()
    } catch (cause) {
      this.#problem(cause instanceof Error ? cause : new Error(String(cause)))
    }
  }

  /** Says what is wrong; undefined: nothing any more. */
  #problem(cause: Error | undefined): void {
    const problem = element('problem', 'p')
    problem.hidden = cause === undefined
    const text = cause?.message ?? ''
    setText(problem, cause instanceof ApiError && cause.status === 0 ? `${text}.` : text)
  }
}
