// The worker of the live path: frames arrive here on a data channel that the page transferred,
// are decoded and scored, and the page asks for what changed when it draws.

import type { Request } from './messages.ts'
import { LiveSession, type Scope } from './session.ts'

const scope = globalThis as unknown as Scope & { onmessage: ((event: MessageEvent<Request>) => void) | null }
const session = new LiveSession(scope)
scope.onmessage = ({ data }) => void session.handle(data)
