import type { Call, LocalMedia, Shown, Transfer } from '../../src/share/index.ts'
import { Picture } from './picture.ts'

const states = { connecting: 'Connecting', connected: 'Connected', interrupted: 'Connection lost, reconnecting', ended: 'Ended' } as const
const pictures: Shown[] = [
  { whose: 'theirs', kind: 'screen' }, { whose: 'theirs', kind: 'camera' }, { whose: 'mine', kind: 'screen' }, { whose: 'mine', kind: 'camera' },
]

/** Chat lines that stay on the page. */
const lines = 500

/** The part of the page for one call. All texts of the other person are set as text, never as HTML. */
export class CallView {
  readonly element = document.createElement('section')
  readonly #call: Call
  readonly #media: LocalMedia
  readonly #state = make('p', { role: 'status' })
  readonly #problem = make('p', { role: 'alert', hidden: '' })
  readonly #audio = document.createElement('audio')
  readonly #pictures: [Shown, Picture][]
  readonly #log = make('ol', { class: 'log', role: 'log', 'aria-label': 'Chat', tabindex: '0' })
  readonly #files = make('ul', { class: 'files', 'aria-label': 'Files' })
  readonly #rows = new Map<string, HTMLLIElement>()
  readonly #urls = new Map<string, string>()
  readonly #off: () => void

  constructor(call: Call, name: string, media: LocalMedia, onend: () => void) {
    this.#call = call
    this.#media = media
    const color = make('input', { type: 'color', value: '#ff3b30', 'aria-label': 'Colour of your lines' })
    this.#pictures = pictures.map((shown) => [shown, new Picture(call, shown, () => color.value)])
    this.#audio.autoplay = true
    const title = make('h2')
    title.textContent = name
    const end = button('Hang up', () => call.end('hung up'))
    end.className = 'end'
    const head = make('div', { class: 'call-head' })
    head.append(title, this.#state, end)
    const grid = make('div', { class: 'pictures' })
    grid.append(...this.#pictures.map(([, { element }]) => element))
    const tools = make('div', { class: 'tools' })
    tools.append(labelled('Line colour', color))
    this.element.append(head, this.#problem, grid, tools, this.#audio, this.#chat(), this.#sending(), this.#files)
    this.element.setAttribute('aria-label', `Call with ${name}`)

    const off = media.on('changed', () => this.#show())
    this.#off = off
    call.on('remote', () => this.#show())
    call.on('drawn', (drawn) => {
      for (const [shown, picture] of this.#pictures) if (shown.whose === drawn.whose && shown.kind === drawn.kind) picture.paint()
    })
    call.on('chat', ({ from, text, sent }) => this.#line(from === 'me' ? 'You' : name, text, sent))
    call.on('error', ({ message }) => this.problem(message))
    call.files.on('changed', (transfer) => this.#file(transfer))
    call.on('state', ({ state, reason }) => {
      this.#showState(reason)
      if (state === 'ended') onend()
    })
    this.#showState()
    this.#show()
  }

  problem(text: string): void {
    this.#problem.textContent = text
    this.#problem.hidden = text === ''
  }

  close(): void {
    this.#off()
    for (const [, picture] of this.#pictures) picture.close()
    for (const url of this.#urls.values()) URL.revokeObjectURL(url)
    this.#audio.srcObject = null
    this.element.remove()
  }

  #showState(reason?: string): void {
    const { state } = this.#call
    this.#state.textContent = reason === undefined ? states[state] : `${states[state]}: ${reason}`
    this.element.dataset['state'] = state
  }

  #show(): void {
    for (const [{ whose, kind }, picture] of this.#pictures) {
      const remote = this.#call.remote.get(kind)
      if (whose === 'mine') picture.show(this.#media.track(kind), this.#media.muted(kind))
      else picture.show(remote?.track, remote?.muted === true)
    }
    const voice = this.#call.remote.get('microphone')?.track
    if ((this.#audio.srcObject as MediaStream | null)?.getAudioTracks()[0] !== voice) {
      this.#audio.srcObject = voice === undefined ? null : new MediaStream([voice])
    }
  }

  #chat(): HTMLElement {
    const form = make('form', { class: 'chat' })
    const input = make('input', { 'aria-label': 'Chat message', maxlength: '4000', autocomplete: 'off' })
    const send = make('button', { type: 'submit' })
    send.textContent = 'Send'
    form.append(input, send)
    form.onsubmit = (event) => {
      event.preventDefault()
      if (input.value.trim() === '') return
      const sent = this.#call.chat(input.value)
      this.problem(sent ? '' : 'The message was not sent: the connection is lost at the moment.')
      if (sent) input.value = ''
    }
    const box = make('div')
    box.append(this.#log, form)
    return box
  }

  #line(who: string, text: string, sent: number): void {
    const li = make('li')
    const name = make('span', { class: 'who' })
    name.textContent = `${new Date(sent).toLocaleTimeString()} ${who}: `
    const line = make('bdi') // characters that turn the direction of writing end with the line
    line.textContent = text
    li.append(name, line)
    this.#log.append(li)
    while (this.#log.childElementCount > lines) this.#log.firstElementChild!.remove()
    this.#log.scrollTop = this.#log.scrollHeight
  }

  #sending(): HTMLElement {
    const input = make('input', { type: 'file', multiple: '' })
    input.onchange = () => {
      for (const file of input.files ?? []) {
        try {
          this.#call.files.send(file)
        } catch (cause) {
          this.problem((cause as Error).message)
        }
      }
      input.value = ''
    }
    return labelled('Send files', input)
  }

  #file(transfer: Transfer): void {
    const { direction, id, name, size, moved, state, error, blob } = transfer
    const key = `${direction} ${id}`
    let li = this.#rows.get(key)
    if (li === undefined) {
      li = make('li', { class: 'file-line' })
      this.#rows.set(key, li)
      this.#files.append(li)
    }
    li.dataset['state'] = state
    const label = make('span', { class: 'name' })
    label.textContent = `${direction === 'send' ? 'To' : 'From'} the other: ${name} (${bytes(size)})`
    const what = make('span', { class: 'note' })
    what.textContent = state === 'failed' ? `Failed: ${error?.message}`
      : state === 'done' ? 'Complete, checksum verified' : state === 'paused' ? 'Paused: the connection is lost' : state === 'waiting' ? 'Waiting' : bytes(moved)
    const parts: Node[] = [label]
    if (state === 'moving' || state === 'paused') parts.push(make('progress', { max: `${Math.max(size, 1)}`, value: `${moved}`, 'aria-label': name }))
    parts.push(what)
    if (state === 'waiting' && direction === 'receive') {
      parts.push(button('Accept', () => void this.#call.files.accept(id)), button('Reject', () => this.#call.files.cancel(direction, id)))
    } else if (state !== 'done' && state !== 'failed') parts.push(button('Cancel', () => this.#call.files.cancel(direction, id)))
    else {
      if (blob !== undefined) parts.push(this.#save(key, name, blob))
      parts.push(button('Remove', () => this.#forget(direction, id)))
    }
    const focused = li.contains(document.activeElement) ? document.activeElement?.textContent : undefined
    li.replaceChildren(...parts)
    // A person who is at a button stays at it.
    if (focused !== undefined) [...li.querySelectorAll('button')].find(({ textContent }) => textContent === focused)?.focus()
  }

  #save(key: string, name: string, blob: Blob): HTMLElement {
    const link = make('a', { download: name })
    let url = this.#urls.get(key)
    if (url === undefined) this.#urls.set(key, (url = URL.createObjectURL(blob)))
    link.href = url
    link.textContent = 'Save'
    return link
  }

  #forget(direction: Transfer['direction'], id: number): void {
    const key = `${direction} ${id}`
    this.#call.files.forget(direction, id)
    const url = this.#urls.get(key)
    if (url !== undefined) URL.revokeObjectURL(url)
    this.#urls.delete(key)
    this.#rows.get(key)?.remove()
    this.#rows.delete(key)
  }
}

function make<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Record<string, string> = {}): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  return made
}

function button(text: string, onclick: () => void): HTMLButtonElement {
  const made = make('button', { type: 'button' })
  made.textContent = text
  made.onclick = onclick
  return made
}

function labelled(text: string, control: HTMLElement): HTMLLabelElement {
  const label = make('label')
  label.append(`${text} `, control)
  return label
}

function bytes(n: number): string {
  const units = ['B', 'kB', 'MB', 'GB']
  let unit = 0
  for (; n >= 1000 && unit < units.length - 1; unit++) n /= 1000
  return `${unit === 0 ? n : n.toFixed(1)} ${units[unit]}`
}
