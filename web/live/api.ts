/** What the server of the page says about the live path. */
export interface PageConfig {
  /** WebSocket URL of the signaling service. */
  signaling: string
  /** Origin of the API; empty: that of the page. */
  api: string
}

/** A request to the API that failed, with a text for people. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** Reads the configuration of the pages, relative to this one. */
export async function readConfig(path = 'config.json'): Promise<PageConfig> {
  const config = (await request(new URL(path, document.baseURI), {})) as Partial<PageConfig>
  if (typeof config.signaling !== 'string') throw new ApiError(0, 'config.json has no member "signaling"')
  return { signaling: config.signaling, api: typeof config.api === 'string' ? config.api : '' }
}

/** A login. Its tokens are in memory only: reloading the page ends it. */
export class Login {
  readonly #api: string
  #access = ''
  #refresh = ''
  #renewal: Promise<string> | undefined

  private constructor(api: string) {
    this.#api = api
  }

  static async begin(api: string, name: string, password: string): Promise<Login> {
    const login = new Login(api)
    await login.#exchange('/v1/login', { name, password })
    return login
  }

  /** The access token, or a new one. */
  async token(renew: boolean): Promise<string> {
    if (!renew) return this.#access
    // A refresh token is valid for one use: those who want one at the same time share it.
    this.#renewal ??= this.#exchange('/v1/refresh', { refresh_token: this.#refresh }).then(() => this.#access).finally(() => (this.#renewal = undefined))
    return this.#renewal
  }

  /** The sites that the person may see, by name. */
  async sites(): Promise<{ name: string; title: string }[]> {
    const sites: { name: string; title: string }[] = []
    let cursor = ''
    do {
      const query = cursor === '' ? '' : `?cursor=${encodeURIComponent(cursor)}`
      const page = (await this.#get(`/v1/sites${query}`)) as { items?: unknown; next_cursor?: unknown }
      for (const item of Array.isArray(page.items) ? (page.items as Record<string, unknown>[]) : []) {
        if (typeof item['name'] === 'string') sites.push({ name: item['name'], title: typeof item['title'] === 'string' ? item['title'] : '' })
      }
      cursor = typeof page.next_cursor === 'string' ? page.next_cursor : ''
    } while (cursor !== '')
    return sites
  }

  /** Ends the session. */
  async end(): Promise<void> {
    const refresh = this.#refresh
    this.#access = this.#refresh = ''
    await request(this.#url('/v1/logout'), { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ refresh_token: refresh }) })
  }

  async #get(path: string): Promise<unknown> {
    const get = () => request(this.#url(path), { headers: { Authorization: `Bearer ${this.#access}` } })
    try {
      return await get()
    } catch (cause) {
      if (!(cause instanceof ApiError) || cause.status !== 401) throw cause
      await this.token(true)
      return get()
    }
  }

  async #exchange(path: string, body: object): Promise<void> {
    const tokens = (await request(this.#url(path), {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
    })) as { access_token?: unknown; refresh_token?: unknown }
    if (typeof tokens.access_token !== 'string' || typeof tokens.refresh_token !== 'string') {
      throw new ApiError(0, `${path}: the response has no tokens`)
    }
    this.#access = tokens.access_token
    this.#refresh = tokens.refresh_token
  }

  #url(path: string): URL {
    return new URL(path, this.#api === '' ? document.baseURI : this.#api)
  }
}

async function request(url: URL, init: RequestInit): Promise<unknown> {
  let response: Response
  try {
    response = await fetch(url, { ...init, cache: 'no-store', credentials: 'omit' })
  } catch (cause) {
    throw new ApiError(0, `${url.pathname}: the server cannot be reached (${cause instanceof Error ? cause.message : String(cause)})`)
  }
  const text = await response.text()
  let body: unknown
  try {
    body = text === '' ? {} : JSON.parse(text)
  } catch {
    body = {}
  }
  if (response.ok) return typeof body === 'object' && body !== null ? body : {}
  const { detail, title, message } = body as Record<string, unknown>
  const reason = [detail, title, message].find((v) => typeof v === 'string') as string | undefined
  throw new ApiError(response.status, reason ?? `${url.pathname}: status ${response.status}`)
}
